"""Files of earlier runs and of users: what is damaged is named, copied, and never a traceback."""

from __future__ import annotations

import errno
import json
import os
import time
from pathlib import Path

import pytest
from lora_samples import small_lora

from modiste.checkpoints.families.configs import configs_in
from modiste.core.errors import InputError, ModisteError
from modiste.core.read_files import UnreadableFile, read_whole
from modiste.core.state_files import DamagedFile, json_object, read_state
from modiste.fashion.encoders.settings import encoder_settings
from modiste.fashion.taxonomy import SHIPPED, load_taxonomy
from modiste.hosts.comfy.workflow import Workflow
from modiste.panel.results import read_report
from modiste.routes.compare.tuned import open_tuned
from modiste.routes.looks import begin_looks
from modiste.routes.pipeline.split import Split
from modiste.routes.pipeline.stages import Stages
from modiste.routes.prompt.experience import ExperienceFile
from modiste.trainer.config import read_config
from modiste.trainer.data.caption_files import read_metadata
from modiste.trainer.kohya import run as kohya_run
from modiste.trainer.kohya.train import has_state
from modiste.trainer.lora.file import write_lora

GARBAGE = {
    "empty": b"",
    "cut": b'{"a": [1, 2',
    "binary": bytes(range(256)),
    "latin-1": '{"name": "été"}'.encode("latin-1"),
    "deep": b"[" * 200_000 + b"]" * 200_000,
    "nul": bytes(4096),
    "list": b"[1]",
    "number": b"5",
    "null": b"null",
}


@pytest.mark.parametrize("content", GARBAGE.values(), ids=GARBAGE)
def test_a_damaged_file_is_named_with_what_to_do_and_a_copy_is_kept(content, tmp_path):
    path = tmp_path / "state.json"
    path.write_bytes(content)
    with pytest.raises(
        DamagedFile, match=r"damaged: .*state\.json.*copied to state\.json\.damaged.*delete the file"
    ) as caught:
        read_state(path, json_object, "delete the file")
    assert caught.value.exit_code == 2 and path.read_bytes() == content
    assert caught.value.copy is not None and caught.value.copy.read_bytes() == content


def test_a_whole_file_is_read_with_or_without_a_mark_and_makes_no_copy(tmp_path):
    (tmp_path / "state.json").write_text(json.dumps({"a": "é"}), encoding="utf-8-sig")
    assert read_state(tmp_path / "state.json", json_object, "") == {"a": "é"}
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


@pytest.mark.skipif(os.name == "nt", reason="no such files there")
def test_only_regular_files_of_a_bounded_size_are_read_and_nothing_is_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "large").write_bytes(bytes(2000))
    began = time.monotonic()
    no_file = "this is a folder, a pipe or a device, not a file"
    loop = f"the file can't be read: {os.strerror(errno.ELOOP)}"
    errors = {"pipe": ("NOT_FILE", no_file), "": ("NOT_FILE", no_file), "loop": ("PERM", loop)}
    errors |= {"large": ("TOO_LARGE", "the file holds 0 MB; 0 are the limit")}
    errors |= {"nothing": ("GONE", "the file is gone, or a link that leads nowhere")}
    for name, (code, words) in errors.items():
        with pytest.raises(UnreadableFile) as caught:
            read_whole(tmp_path / name, 1000)
        assert (caught.value.code, caught.value.path, caught.value.reason) == (code, tmp_path / name, words)
        assert str(caught.value) == f"{words} ({tmp_path / name})"
    with pytest.raises(UnreadableFile):
        read_whole(Path("/dev/zero"), 1000)
    assert time.monotonic() - began < 30
    assert read_whole(tmp_path / "large", 2000) == bytes(2000)


@pytest.mark.parametrize("content", GARBAGE.values(), ids=GARBAGE)
def test_every_state_file_says_damaged_instead_of_a_traceback(content, tmp_path, monkeypatch):
    monkeypatch.setenv("MODISTE_HOME", str(tmp_path))
    vocabulary = tmp_path / "vocabularies" / "mini.json"
    vocabulary.parent.mkdir()
    vocabulary.write_bytes(content)
    with pytest.raises(DamagedFile, match="mini.json.*correct the vocabulary"):
        load_taxonomy("mini")
    (tmp_path / "encoders.json").write_bytes(content)
    with pytest.raises(DamagedFile, match="encoders.json"):
        encoder_settings("patrickjohncyh/fashion-clip")
    (tmp_path / "experience.json").write_bytes(content)
    with pytest.raises(DamagedFile, match="experience.json.*begins with what is known now"):
        ExperienceFile("scorer", tmp_path).begin(tmp_path, "checkpoint", [])
    for name in ("pipeline.json", "split.json", "stages.json"):
        folder = tmp_path / name.partition(".")[0]
        folder.mkdir()
        (folder / name).write_bytes(content)
        with pytest.raises(InputError, match=f"damaged.*{name}.*the run continues with the settings"):
            Stages(folder, {}, Split(training=(), validation=(), proof=()))


def test_a_vocabulary_of_the_user_s_with_a_wrong_field_is_named(tmp_path):
    content = json.loads((SHIPPED / "mini.json").read_text(encoding="utf-8"))
    (tmp_path / "own.json").write_text(json.dumps(content | {"colour": 1}))
    with pytest.raises(DamagedFile, match="own.json"):
        load_taxonomy(tmp_path / "own.json")


@pytest.mark.parametrize("content", GARBAGE.values(), ids=GARBAGE)
def test_every_record_of_a_training_or_a_model_says_damaged_instead_of_a_traceback(content, tmp_path):
    (tmp_path / "train.json").write_bytes(content)
    write_lora(small_lora(), tmp_path / "lora.safetensors", {})
    with pytest.raises(DamagedFile, match="train.json.*take it away"):
        open_tuned(tmp_path / "lora.safetensors")
    (tmp_path / "looks.json").write_bytes(content)
    with pytest.raises(DamagedFile, match="looks.json.*another --out"):
        begin_looks(tmp_path, ["a"], same_seeds=True)
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(InputError, match="the config (is no JSON|can't be used)"):
        read_config(tmp_path / "config.json")
    (tmp_path / "workflow.json").write_bytes(content)
    with pytest.raises(InputError, match="workflow"):
        Workflow.read(tmp_path / "workflow.json")
    unet = tmp_path / "model" / "unet" / "config.json"
    unet.parent.mkdir(parents=True)
    unet.write_bytes(content)
    with pytest.raises(DamagedFile, match="config.json.*bring the model's files here again"):
        configs_in(tmp_path / "model")
    assert [path.name for path in unet.parent.iterdir()] == ["config.json"]
    record = tmp_path / kohya_run.FOLDER / kohya_run.RECORD
    record.parent.mkdir()
    record.write_bytes(content)
    with pytest.raises(DamagedFile, match=f"{kohya_run.RECORD}.*another --out"):
        has_state(tmp_path)
    (tmp_path / "metadata.jsonl").write_bytes(content)
    if content:  # an empty file holds no captions and is no error
        with pytest.raises(ModisteError):
            read_metadata(tmp_path / "metadata.jsonl")
    (tmp_path / "report.json").write_bytes(content)
    assert read_report(tmp_path) is None


def test_a_row_of_captions_ends_where_json_lines_end_and_not_at_every_line_end_of_unicode(tmp_path):
    row = json.dumps({"file_name": "a.png", "text": "one\u2028two\u0085three"}, ensure_ascii=False)
    (tmp_path / "metadata.jsonl").write_text(f"{row}\n{row.replace('a.png', 'b.png')}\n", encoding="utf-8")
    captions = {name: caption.text for name, caption in read_metadata(tmp_path / "metadata.jsonl").items()}
    assert captions == dict.fromkeys(("a.png", "b.png"), "one two three")
