"""An evaluation's content as text for a terminal."""

from collections.abc import Mapping
from typing import Any


def summary_text(content: Mapping[str, Any]) -> str:
    """Every line with its value, its bar and, where there is one, the reason; then the bad cases."""
    text: list[str] = []
    rejected = 0
    for group in content["groups"]:
        if group["reason"]:
            text.append(f"  {'not measurable':<15} {group['name']:<46} {group['reason']}")
        for channel in group["channels"]:
            shown = f"{group['name']} {channel['name']}" if len(group["channels"]) > 1 else group["name"]
            for line in channel["lines"]:
                text += _line(shown, line)
            text.append(_together(shown, channel["together"]))
            for control in channel["controls"]:
                rejected += control["verdict"] == "rejected"
                if control["verdict"] != "rejected":
                    text.append(f"  {'not measurable':<15} {shown}: at this size not rejected: {control['name']}")
    for line in content.get("segmenter", {"lines": []})["lines"]:
        text += _line("all", line)
    if rejected:
        text.append(f"  bad cases of the same size rejected: {rejected}")
    return "\n".join(text)


def _line(shown: str, line: Mapping[str, Any]) -> list[str]:
    value = "" if line["value"] is None else f"{line['value']:.3g}"
    on = f"on {line['features']}" if line["features"] else ""
    where = " ".join(part for part in (shown, line["check"], on, line["subject"]) if part)
    text = [f"  {line['verdict']:<15} {where:<46} {value:>9}   {_bar(line)}".rstrip()]
    return [*text, f"{'':18}{line['reason']}"] if line["reason"] else text


def _together(shown: str, together: Mapping[str, Any]) -> str:
    where = f"{shown}: every line; worst {together['worst']}"
    value = "" if together["value"] is None else f"{together['value']:.3g}"
    return f"  {together['verdict']:<15} {where:<46} {value:>9}   at most {together['bar']:.3g}"


def _bar(line: Mapping[str, Any]) -> str:
    low, high = line["low"], line["high"]
    if low is None or high is None:
        return "" if low is high else f"at most {high:.3g}" if low is None else f"at least {low:.3g}"
    return f"{low:.3g} to {high:.3g}"
