"""`medsynth view`: serve the page until Ctrl-C."""

import sys
import webbrowser
from pathlib import Path

from medsynth.view.catalogue import catalogue
from medsynth.view.server import Viewer


def view(
    samples: Path | None = None,
    audit: Path | None = None,
    cases: Path | None = None,
    folder: Path | None = None,
    *,
    port: int = 0,
    browser: bool = False,
) -> None:
    """Show samples, cases or files of a folder on a page for this machine alone, until interrupted.

    Args:
        samples: SAMPLES.
        audit: AUDIT of these samples: verdicts, and the training cases nearest to some of them.
        cases: CASES.
        folder: any folder: of samples, of cases, or with NIfTI files in it.
        port: on which it listens; 0 takes a free one.
        browser: whether to open the page.

    Raises:
        UsageError: nothing to look at.
        MedsynthError: a folder that is not what it should be; a taken port; the viewer's script is not installed.
    """
    entries = catalogue(samples, audit, cases, folder)
    with Viewer(entries, port) as viewer:
        things = f"{len(entries)} {'thing' if len(entries) == 1 else 'things'} to look at"
        print(f"{things}; Ctrl-C ends it\n{viewer.url}", flush=True)
        if browser and not webbrowser.open(viewer.url):
            print("no browser could be opened: open the address above", file=sys.stderr)
        try:
            viewer.serve()
        except KeyboardInterrupt:
            print("\nended", flush=True)
