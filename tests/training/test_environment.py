"""What a repetition to the bit depends on is recorded."""

import tokenizers
import transformers

from medsynth.nets.text import MiniLM
from medsynth.training.environment import describe_environment, environments


def test_what_embeds_texts_is_recorded_where_texts_are_embedded():
    plain = describe_environment("cpu", "fp32", 0)
    told = describe_environment("cpu", "fp32", 0, MiniLM())
    assert not {"transformers", "tokenizers"} & set(plain)
    assert told == {**plain, "transformers": transformers.__version__, "tokenizers": tokenizers.__version__}


def test_another_version_of_it_is_said_where_a_training_goes_on(monkeypatch, tmp_path, capsys):
    now = describe_environment("cpu", "fp32", 0, MiniLM())
    before = [{"from_step": 0, **now, "transformers": "5.0.0"}]

    class Info:
        training = {"environments": before}  # noqa: RUF012 - read alone

    monkeypatch.setattr("medsynth.training.environment.read_run", lambda out: (None, Info))
    assert environments(tmp_path, 4, now, progress=True) == [*before, {"from_step": 4, **now}]
    assert "resumed with another transformers:" in capsys.readouterr().out
