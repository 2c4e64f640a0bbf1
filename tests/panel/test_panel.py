"""The tab in A1111 and Forge: forms become commands, a process is watched and stopped, what it leaves is shown."""

from __future__ import annotations

import ast
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import get_args

import brand_studio
import pytest
import stand_in_gradio
from fresh_process import python_environment
from PIL import Image
from train_samples import tiny_base

from modiste.fashion.photos import garment_of
from modiste.hosts.lora_folder import give_to_host
from modiste.panel import (
    both_page,
    commands,
    environment,
    judge_page,
    page,
    prompt_page,
    run_panel,
    setup_page,
    suggestions,
)
from modiste.panel.commands import (
    BadForm,
    finetune_command,
    photos_of,
    pipeline_command,
    prompt_command,
    server_options,
    tag_command,
)
from modiste.panel.current_job import CurrentJob, status_of, watch
from modiste.panel.job import CommandProcess, JobOrder
from modiste.panel.judge_command import judge_command, judged_files, loras_in
from modiste.panel.results import drawing_of, gallery, infotexts, read_report, result_rows, tag_rows
from modiste.panel.send_buttons import style_of
from modiste.panel.texts import LANGUAGES, WORDS, Words, language_of
from modiste.panel.webui_settings import WebuiSettings
from modiste.reports.comparison_texts import VERDICT
from modiste.reports.judging import JudgeReport, JudgeVerdict, Standing
from modiste.search.route_decision import RouteOutcome

ROOT = Path(__file__).parents[2]
EN = Words("en")


# ── the room ──


# Modules that import nothing beyond the standard library themselves.
INNER = ("install", "core.state_files", "core.folder_lock", "core.weights")


def test_the_page_needs_the_standard_library_and_gradio_alone():
    allowed = set(sys.stdlib_module_names) | {"gradio"}
    for file in (ROOT / "panel").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert {alias.name.partition(".")[0] for alias in node.names} <= allowed, file
            elif isinstance(node, ast.ImportFrom):
                inside = node.level == 1 or (node.level == 2 and node.module in INNER)
                assert inside or (not node.level and node.module.partition(".")[0] in allowed), f"{file}:{node.lineno}"


def test_the_lists_of_the_page_are_those_of_the_rooms_it_can_not_import():
    from modiste.fashion.prompts.strategies import DEFAULT_STRATEGIES
    from modiste.models.presets import PRESETS

    assert commands.STRATEGIES == DEFAULT_STRATEGIES and set(commands.PRESETS) == set(PRESETS) == set(suggestions.FACTS)
    for name, (side, encoder, checkpoint) in suggestions.FACTS.items():
        assert PRESETS[name].width == PRESETS[name].height == side
        if name != "mini":
            assert (PRESETS[name].encoder, PRESETS[name].checkpoint) == (encoder, checkpoint)


def test_every_word_is_there_in_both_languages_with_the_same_fields():
    fields = lambda text: sorted(part.partition("}")[0].partition(":")[0] for part in text.split("{")[1:])  # noqa: E731
    for key, (english, chinese) in WORDS.items():
        assert english and chinese and fields(english) == fields(chinese), key
        assert key in ("rank",) or any("\u4e00" <= char <= "\u9fff" for char in chinese), key
    for decision in RouteOutcome:
        assert WORDS[f"v_{decision.value}"] == VERDICT[f"d_{decision.value}"]
    assert Words("zh-TW")("start") == "開始" and Words("fr")("start") == "Start" and LANGUAGES == ("en", "zh-TW")


@pytest.mark.parametrize(
    ("names", "language"),
    [
        (("zh_TW", None), "zh-TW"),
        (("zh-Hant (Stable)",), "zh-TW"),
        (("None", "zh_TW.UTF-8"), "zh-TW"),
        (("繁體中文 (zh-TW)",), "zh-TW"),
        (("zh_CN",), "en"),
        (("None", None), "en"),
        (("ja_JP", "zh_TW"), "en"),
    ],
)
def test_the_language_is_the_webuis_or_the_machines(names, language):
    assert language_of(*names) == language


# ── forms → commands ──


def options_of(command: list[str]) -> dict[str, str]:
    places = [place for place, word in enumerate(command) if word.startswith("--")]
    return {command[place]: (command[place + 1 : place + 2] or [""])[0] for place in places}


def parsed(command: list[str]) -> dict:
    """What harness.py understands of a command; an unknown option is an error."""
    import typer

    from modiste.cli.app import app

    group = typer.main.get_command(app)
    assert command[:2] == [str(environment.environment_python()), str(ROOT / "harness.py")]
    name = command[2]
    context = group.commands[name].make_context(name, command[3:])
    return context.params


class Upload(str):
    """A file as gradio hands it over: a text with a name (4.x), or an object with one (3.x)."""

    @property
    def name(self) -> str:
        return str(self)


SERVER = ("--url", "http://127.0.0.1:7861")


def test_a_filled_form_is_a_command_that_harness_py_takes(tmp_path):
    photo, runs, loras = tmp_path / "a look.png", tmp_path / "runs", tmp_path / "Lora"
    photo.write_bytes(b"x")
    photos = photos_of([Upload(photo)], "", True)
    assert photos_of(None, "", False, str(photo)) == photos
    assert photos_of([Upload(photo)], "", True, "b.png") == [photo, Path("b.png")]
    taken = parsed(tag_command(photos, "mini"))
    assert taken["photos"] == [photo] and taken["preset"] == "mini" and taken["json"] and not taken["encoder"]
    edits = ["colour:red", "fabric:lace"], ["neckline"]
    command, out = prompt_command(photos, "sd15", "webui", SERVER, ["sentence"], 24, runs, False, " a/clip ", edits)
    taken = parsed(command)
    assert (taken["host"], taken["url"], taken["budget"]) == ("webui", ["http://127.0.0.1:7861"], 24)
    assert (taken["pin"], taken["leave_out"]) == edits
    assert taken["strategies"] == "sentence" and taken["out"] == out and out.parent == runs
    assert taken["encoder"] == "a/clip" and [file.name for file in taken["photos"][0].iterdir()] == ["a look.png"]
    command, out = finetune_command(photos, "mini", "m.safetensors", "vesper", 300, 8, runs, (loras, "brand"))
    taken = parsed(command)
    assert (taken["steps"], taken["rank"], taken["trigger"], taken["checkpoint"]) == (300, 8, "vesper", "m.safetensors")
    assert [file.name for file in taken["photos"][0].iterdir()] == ["a look.png"]
    assert (taken["deliver_to"], taken["deliver_as"]) == (loras, "brand") and loras.is_dir()
    form = SERVER, loras, "vesper", 16
    command, out = pipeline_command(photos, "sd15", "webui", *form, True, runs)
    taken = parsed(command)
    assert (taken["host"], taken["url"], taken["lora_dir"]) == ("webui", ["http://127.0.0.1:7861"], loras)
    assert (taken["trigger"], taken["budget"], taken["with_generated"], taken["out"]) == ("vesper", 16, True, out)
    assert [file.name for file in taken["photos"][0].iterdir()] == ["a look.png"] and taken["deliver_to"] == loras
    in_shape, elsewhere = pipeline_command(photos, "sd15", "webui", *form, True, runs, True)
    assert parsed(in_shape)["aspect"] == "photo" and parsed(command)["aspect"] is None and elsewhere != out
    forced = (
        tag_command(photos, "mini", "", True),
        prompt_command(photos, "mini", "local", (), [], 24, runs, any_photo=True)[0],
        pipeline_command(photos, "sd15", "webui", *form, True, runs, any_photo=True)[0],
    )
    assert all(parsed(each)["force"] for each in forced[:2]) and "--force" in forced[2]
    assert not parsed(tag_command(photos, "mini"))["force"] and "--force" not in command
    taken = parsed(pipeline_command([tmp_path], "mini", "local", *form, False, runs)[0])
    assert taken["photos"] == [tmp_path] and taken["host"] == "local" and not taken["with_generated"]
    assert not taken["url"] and taken["lora_dir"] is None and taken["deliver_to"] == loras


def test_a_webui_is_reached_by_the_address_that_it_has_itself(tmp_path):
    assert server_options("http://127.0.0.1:7861") == ("--url", "http://127.0.0.1:7861")
    remote = server_options("https://192.168.1.5:7860", "/certs/own.pem")
    assert remote == ("--url", "https://192.168.1.5:7860", "--allow-remote", "--ca-file", "/certs/own.pem")
    runs = [prompt_command([tmp_path], "sd15", "webui", server, [], 24, tmp_path)[1] for server in (SERVER, remote)]
    assert runs[0] == runs[1]  # the same form goes on where the WebUI took another port


def test_uploads_keep_the_names_that_say_which_photos_show_one_garment(tmp_path):
    files = [
        tmp_path / place / name for place, name in (("a", "K1-front.png"), ("b", "K1-back.png"), ("c", "k1-BACK.png"))
    ]
    for file in files:
        file.parent.mkdir()
        file.write_bytes(file.name.encode())
    command, _ = pipeline_command(files, "mini", "local", (), tmp_path, "", 16, False, tmp_path / "runs")
    copies = sorted(parsed(command)["photos"][0].iterdir())
    assert [copy.name for copy in copies] == ["0002-k1-BACK.png", "K1-back.png", "K1-front.png"]
    assert {copy.read_bytes() for copy in copies} == {file.read_bytes() for file in files}
    assert garment_of(copies[1]) == garment_of(copies[2])


def test_the_same_form_goes_on_with_the_same_run_and_another_form_is_another_run(tmp_path):
    first, again, other = (tmp_path / name for name in ("1.png", "2.png", "3.png"))
    for file, content in ((first, b"a"), (again, b"a"), (other, b"b")):
        file.write_bytes(content)
    runs = [prompt_command([file], "mini", "local", (), [], 24, tmp_path)[1] for file in (first, again, other)]
    assert runs[0] == runs[1] != runs[2]
    assert prompt_command([first], "mini", "local", (), [], 32, tmp_path)[1] != runs[0]


@pytest.mark.parametrize(
    ("form", "field"),
    [
        (lambda out: photos_of(None, "", True), "photos"),
        (lambda out: photos_of([], "/no/such/folder", True), "folder"),
        (lambda out: photos_of([], "/", False), "photos"),
        (lambda out: prompt_command([], "huge", "local", (), [], 24, out), "preset"),
        (lambda out: prompt_command([], "mini", "local", (), ["--out"], 24, out), "strategies"),
        (lambda out: prompt_command([], "mini", "nobody", (), [], 24, out), "strategies"),
        (lambda out: prompt_command([], "mini", "local", (), [], 10**6, out), "budget"),
        (lambda out: finetune_command([], "mini", None, "two words", 100, 8, out, (out, "")), "trigger"),
        (lambda out: finetune_command([], "mini", None, "--json", 10**6, 8, out, (out, "")), "steps"),
        (lambda out: finetune_command([], "mini", None, "", 100, 0, out, (out, "")), "rank"),
        (lambda out: pipeline_command([], "mini", "local", (), out, "two words", 16, False, out), "trigger"),
        (lambda out: pipeline_command([], "mini", "nobody", (), out, "", 16, False, out), "drawer"),
        (lambda out: pipeline_command([], "mini", "local", (), out, "", 4, False, out), "budget"),
    ],
)
def test_what_a_page_could_send_and_should_not_is_refused_by_its_field(form, field, tmp_path):
    with pytest.raises(BadForm) as caught:
        form(tmp_path)
    assert caught.value.field == field and caught.value.why in WORDS


# ── a process ──

TALKS = """
import json, sys
for done in range(1, 4):
    print(json.dumps({"progress": {"stage": "prompt", "done": done, "total": 3, "message": "<b>", "eta_s": 90.0,
                                   "picture": f"/p/{done}.png" if done > 1 else None}}), file=sys.stderr, flush=True)
print("a word for people", file=sys.stderr)
print(json.dumps({"images": []}, indent=2))
sys.exit(3)
"""
WAITS = """
import sys, threading
try:
    print("ready", file=sys.stderr, flush=True)
    threading.Event().wait(60)
except KeyboardInterrupt:
    print("interrupted: what is done is kept", file=sys.stderr)
    sys.exit(130)
"""


def order_of(code: str, folder: Path, kind: str = "prompt") -> JobOrder:
    return JobOrder(kind, (sys.executable, "-c", code), str(folder), str(folder / "out"))


def job_of(code: str, folder: Path, **options) -> CommandProcess:
    return CommandProcess.start(order_of(code, folder), folder / "job", os.environ, **options)


def test_of_a_command_that_crashes_the_last_line_and_the_place_of_its_log_are_shown(tmp_path):
    job = job_of("import sys; print('before', file=sys.stderr); raise ValueError('a defect')", tmp_path)
    until(job, lambda: not job.running)
    assert job.log_tail == f"before\nValueError: a defect ({job.place / 'progress.jsonl'})"
    assert "Traceback" in (job.place / "progress.jsonl").read_text(), "whole, for whoever reports it"


def until(job: CommandProcess, holds) -> None:
    deadline = time.monotonic() + 30
    while not holds() and time.monotonic() < deadline:
        job.wait(1)
    assert holds()


def test_progress_pictures_words_and_document_of_a_process_are_heard(tmp_path):
    job = job_of(TALKS, tmp_path)
    *_, last = watch(job)
    assert last is job and not job.running and job.finished and job.exit_code == 3
    assert list(job.pictures) == ["/p/2.png", "/p/3.png"] and job.log_tail == "a word for people"
    assert job.document == {"images": []} and job.progress["done"] == 3
    assert status_of(job, EN) == "<div><b>Prompt search</b> · Done.</div>"


def test_a_running_job_is_a_bar_with_what_is_left_and_nothing_of_it_is_markup(tmp_path):
    job = job_of(WAITS, tmp_path)
    try:
        until(job, lambda: job.log_tail)
        assert "Starting" in status_of(job, EN)
        job._read_line(
            json.dumps({"progress": {"stage": "prompt", "done": 1, "total": 4, "eta_s": 90, "message": "<b>"}})
        )
        shown = status_of(job, EN)
        assert 'value="1" max="4"' in shown and "about 2 min left" in shown and "&lt;b&gt;" in shown
        assert "繪圖與比較" in status_of(job, Words("zh-TW"))
    finally:
        job.cancel()
        until(job, lambda: not job.running)


def test_a_cancelled_job_keeps_what_it_has_and_one_that_hangs_is_ended(tmp_path):
    job = job_of(WAITS, tmp_path)
    until(job, lambda: job.log_tail)
    job.cancel()
    until(job, lambda: not job.running)
    assert job.resumable and job.exit_code == 130 and "Go on" in status_of(job, EN)
    deaf = job_of("import signal; signal.signal(signal.SIGINT, signal.SIG_IGN);" + WAITS, tmp_path)
    until(deaf, lambda: deaf.log_tail)
    deaf.cancel()
    assert deaf.running and "Stopping" in status_of(deaf, EN)
    deaf.cancel()
    until(deaf, lambda: not deaf.running)
    assert deaf.exit_code == -signal.SIGKILL


def test_a_failure_is_shown_with_the_process_last_words(tmp_path):
    job = job_of("import sys; print('error: <no> weights', file=sys.stderr); sys.exit(2)", tmp_path)
    *_, job = watch(job)
    assert "exit code 2" in status_of(job, EN) and "error: &lt;no&gt; weights" in status_of(job, EN)
    assert job.document is None


@pytest.mark.parametrize("document", [True, False], ids=["in the document", "in the log"])
def test_photos_that_were_left_out_are_named_with_what_takes_them(document, tmp_path):
    skipped = [{"path": "/photos/<cat>.png", "code": "NO_GARMENT", "reason": "no garment was found"}]
    code = f"""
import json, sys
print({"" if document else "skipped <cat>.png: NO_GARMENT, no garment was found"!r}, file=sys.stderr)
print(json.dumps({{"images": [], "skipped": {skipped if document else []!r}}}))
sys.exit(3)
"""
    job = job_of(code, tmp_path)
    until(job, lambda: not job.running)
    status = status_of(job, Words("en"))
    assert "Photos left out: 1 (&lt;cat&gt;.png: NO_GARMENT" in status and "Also photos without a garment" in status
    assert "略過的照片：1" in status_of(job, Words("zh-TW"))


def test_one_job_runs_at_a_time(tmp_path):
    current_job = CurrentJob(tmp_path)
    job = current_job.begin(order_of(WAITS, tmp_path), os.environ)
    until(job, lambda: job.log_tail)
    for other in (current_job, CurrentJob(tmp_path)):
        with pytest.raises(BadForm) as caught:
            other.begin(order_of(TALKS, tmp_path), os.environ)
        assert caught.value.why == "busy"
    current_job.cancel()
    until(job, lambda: not job.running)
    until(other.job, lambda: not other.job.running)  # whose thread would look for the folder when it is gone
    *_, job = watch(current_job.begin(order_of(TALKS, tmp_path), os.environ))
    assert job.finished


def test_a_ui_that_was_loaded_anew_follows_the_same_job_to_its_end_and_can_cancel_it(tmp_path):
    ended = []
    first = job_of(WAITS, tmp_path, on_end=lambda: ended.append("first"))
    until(first, lambda: first.log_tail)
    second = CommandProcess.adopt(tmp_path / "job", lambda: ended.append("second"))
    until(second, lambda: second.log_tail)
    assert second.running and second.order.out == str(tmp_path / "out") and second.order.pid == first.order.pid
    second.cancel()
    until(second, lambda: not second.running)
    until(first, lambda: not first.running)
    assert second.exit_code == first.exit_code == 130 and second.resumable and sorted(ended) == ["first", "second"]
    assert CommandProcess.adopt(tmp_path / "job").exit_code == 130


OUTLIVES = """
import json, sys, time
print(json.dumps({"progress": {"stage": "train", "done": 1, "total": 2}}), file=sys.stderr, flush=True)
while not open("go").read(): time.sleep(0.05)
print(json.dumps({"file": "x"}))
"""
KILLED = """
import os, signal, sys
from pathlib import Path
from modiste.panel.job import CommandProcess, JobOrder
place = Path(sys.argv[1])
order = JobOrder("training", (sys.executable, "-c", sys.argv[2]), str(place.parent), "out")
job = CommandProcess.start(order, place, os.environ)
while not job.progress: job.wait(1)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(os.name == "nt", reason="no lock is handed on there")
def test_a_job_outlives_a_webui_that_is_killed_and_the_next_one_finds_it(tmp_path):
    (tmp_path / "go").write_text("")
    webui = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "job"), OUTLIVES], env=python_environment())
    assert webui.returncode == -signal.SIGKILL
    ended = []
    job = CurrentJob(tmp_path, lambda: ended.append(True)).job
    until(job, lambda: job.progress)
    assert job.running and job.order.kind == "training" and job.progress["done"] == 1
    (tmp_path / "go").write_text("now")
    until(job, lambda: not job.running)
    assert job.finished and job.document == {"file": "x"} and ended == [True]


def test_a_damaged_record_of_a_job_is_as_if_there_were_none(tmp_path):
    for text in ("", "{", "[1]", "{}", '{"command": 3}', '{"command": [], "more": 1}'):
        (tmp_path / "job").mkdir(exist_ok=True)
        (tmp_path / "job" / "job.json").write_text(text)
        assert CurrentJob(tmp_path).job is None


def test_the_real_command_tells_its_progress_to_a_program_that_asks(tmp_path):
    photo = ROOT / "examples" / "photos" / "look-01.jpg"
    command = (sys.executable, *tag_command([photo], "mini")[1:])
    environ = os.environ | {"OMP_NUM_THREADS": "1"}
    job = CommandProcess.start(JobOrder("tags", command, str(tmp_path)), tmp_path / "job", environ)
    *_, job = watch(job)
    assert job.finished and job.progress["stage"] == "tag" and job.progress["done"] == 1, job.log_tail
    assert tag_rows(job.document)[0][:2] == ["look-01.jpg", "category"]


# ── what a run leaves ──


@pytest.fixture(scope="module")
def finished_run(paper_run) -> tuple[dict, Path]:
    return read_report(paper_run), paper_run


def test_a_report_becomes_tables_pictures_and_texts_to_send(finished_run):
    report, out = finished_run
    rows = result_rows(report)
    assert len(rows) == len(report["images"]) and all(0 <= row[2] <= 100 for row in rows)
    assert {row[0] for row in tag_rows(report["images"])} <= {row[0] for row in rows}
    shown = gallery(report, out)
    assert len(shown) == 2 * len(rows) and all(Path(file).is_file() for file, _ in shown)
    for text in infotexts(report, drawing_of(report)).values():
        assert "\nSteps: " in text and "CFG scale: " in text and "Size: 64x64" in text
    assert read_report(out / "nowhere") is None


def test_a_text_to_send_is_read_by_the_webui_as_it_is_meant():
    """A1111's own rule: the last line is settings, `Negative prompt:` begins the negative prompt."""
    photo = {"image": "a/look.png", "optimized_prompt": "a red dress", "negative_prompt": "blurry"}
    text = infotexts({"images": [photo]}, {"Steps": 16, "Sampler": "DPM++ 2M"})["look.png"]
    assert text == "a red dress\nNegative prompt: blurry\nSteps: 16, Sampler: DPM++ 2M"


def test_a_trained_file_gets_a_name_of_its_content_and_is_there_whole(tmp_path):
    trained, folder = tmp_path / "fashion_lora_weights.safetensors", tmp_path / "Lora"
    trained.write_bytes(b"first")
    first = give_to_host(trained, folder, "my: brand/../x")
    assert first.parent == folder and first.read_bytes() == b"first" and ":" not in first.name
    assert give_to_host(trained, folder, "my: brand/../x") == first
    trained.write_bytes(b"better")
    assert give_to_host(trained, folder, "my: brand/../x") != first and first.read_bytes() == b"first"
    assert sorted(folder.iterdir()) == sorted(folder.glob("*.safetensors"))


# ── the tab ──


@pytest.fixture
def tab(tmp_path, monkeypatch):
    """The page under a gradio that has what 3.41 and 4.40 share, in an environment that is there."""
    monkeypatch.setitem(sys.modules, "gradio", stand_in_gradio)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(environment, "is_installed", lambda: True)
    monkeypatch.setattr(environment, "environment_python", lambda: Path(sys.executable))
    monkeypatch.setattr(run_panel, "own_environ", lambda: os.environ | {"OMP_NUM_THREADS": "1"})
    return Tab(tmp_path)


class Tab:
    """The tab of a WebUI without --api, as one browser sees it; `reloaded()` is another."""

    def __init__(self, folder: Path, **settings):
        self.folder, self.sent, self.refreshed, self.styles = folder, [], [], {}
        self.webui = WebuiSettings(
            lambda: SERVER,
            **{"has_api": False, **settings},
            runs=folder / "runs",
            lora_folder=folder / "Lora",
            connect_send=lambda button, text: self.sent.append(text.label),
            refresh_loras=lambda: self.refreshed.append(True),
            save_style=lambda name, *texts: self.styles.update({name: texts}) or name,
        )
        self.page = page.build(self.webui)

    def reloaded(self) -> Tab:
        return Tab(self.folder)

    def of(self, element_id: str) -> stand_in_gradio.Component:
        """The component with this id."""
        (component,) = [each for each in self.page.everything() if each.options.get("elem_id") == element_id]
        return component

    def press(self, element_id: str, *fields) -> dict:
        """What a button's handler shows last, by the ids of the outputs; outputs that stay are left out."""
        handler, inputs, outputs = self.of(element_id).handlers["click"]
        assert len(fields) == len(inputs)
        shown = handler(*fields)
        if isinstance(shown, str):
            shown = [(shown,)]
        *_, last = shown
        assert len(last) == len(outputs)
        names = [output.options.get("elem_id", type(output).__name__) for output in outputs]
        return {name: value for name, value in zip(names, last, strict=True) if value != stand_in_gradio.update()}


PHOTO = [Upload(ROOT / "examples" / "photos" / "look-01.jpg")]
OWN = "Modiste's own model"


def test_the_tab_holds_its_pages_under_one_run_panel_and_replaces_no_prompt_but_where_it_says_so(tab):
    labels = [each.label for each in tab.page.everything()]
    assert {"Run", "Prompt", "Training", "Both routes", "Which file?", "Set-up", "Verdict", "Rank", "Set up"} <= set(
        labels
    )
    assert [labels.count(label) for label in ("Cancel", "Go on", "Show what runs", "Add to txt2img")] == [1, 1, 1, 4]
    assert tab.sent == ["Best prompt"]


def test_no_two_fields_share_an_id_or_a_key_of_the_webuis_own_file(tab):
    """As A1111 and Forge make the key: modules/ui_loadsave.py."""
    ids = [each.options["elem_id"] for each in tab.page.everything() if "elem_id" in each.options]
    assert len(ids) == len(set(ids)) and all(each.startswith("modiste_") for each in ids)
    saved = [
        (getattr(each, "custom_script_source", None), each.label)
        for each in tab.page.everything()
        if type(each).__name__ in ("Slider", "Radio", "Checkbox", "Textbox", "Dropdown", "Button")
        and not getattr(each, "do_not_save_to_config", False)
    ]
    assert len(saved) == len(set(saved)), sorted(saved)
    assert {("modiste_prompt", "Pictures a photo"), ("modiste_both", "Pictures a photo")} <= set(saved)
    assert not {"Models (preset)", "Drawn by", "Best prompt", "Verdict"} & {label for _, label in saved}


@pytest.mark.parametrize(
    ("here", "api", "preset", "drawer", "warning"),
    [
        ((), True, "mini", "Modiste's own model", "64 × 64 pixels with the embedded model"),
        (("patrickjohncyh/fashion-clip",), True, "sd15", "this WebUI", "512 × 512 pixels, judged by patrickjohncyh"),
        (("patrickjohncyh/fashion-clip",), False, "mini", "Modiste's own model", "small encoder"),
    ],
)
def test_the_tab_begins_with_what_this_machine_can_draw_and_says_size_and_encoder(
    here, api, preset, drawer, warning, tab, tmp_path
):
    for model in here:
        snapshot = tmp_path / "hub" / f"models--{model.replace('/', '--')}" / "snapshots" / "x"
        snapshot.mkdir(parents=True)
        (snapshot / "config.json").write_text("{}")
    tab = Tab(tmp_path, has_api=api)
    for page_name in ("prompt", "both"):
        assert tab.of(f"modiste_{page_name}_preset").options["value"] == preset
        assert tab.of(f"modiste_{page_name}_drawer").options["value"] == drawer
        assert warning in tab.of(f"modiste_{page_name}_warning").arguments[0]
    assert Tab(tmp_path, has_api=api, preset="sdxl").of("modiste_both_preset").options["value"] == "sdxl"
    warn, _, _ = tab.of("modiste_prompt_drawer").handlers["change"]
    assert "this WebUI draws at 64 × 64" in warn("mini", "this WebUI")
    missing = warn("sdxl", OWN)
    assert "Not on this machine" in missing and f"harness.py get {'' if here else 'fashion-clip '}sdxl<" in missing


def test_forms_that_can_not_be_used_start_nothing_and_say_why(tab, monkeypatch):
    def status(*pressed) -> str:
        (text,) = tab.press(*pressed).values()
        return text

    assert "Choose photos first" in status("modiste_prompt_read", None, "", None, "mini", False)
    form = PHOTO, "", "mini"
    assert "--api" in status(
        "modiste_prompt_start", *form[:2], None, form[2], "this WebUI", [], 12, False, [], [], False
    )
    assert "--api" in status("modiste_both_start", *form, "this WebUI", "vesper", 16, False, False, False)
    assert "one word" in status("modiste_both_start", *form, OWN, "two words", 16, False, False, False)
    assert "Tick the box" in status("modiste_setup_make", False)
    assert "nothing to go on with" in status("modiste_run_go_on")
    assert "no text yet" in status("modiste_training_to_style", "")
    monkeypatch.setattr(environment, "fits", lambda: False)
    assert "too full" in status("modiste_setup_make", True)
    monkeypatch.setattr(environment, "is_installed", lambda: False)
    assert "Set up the environment first" in status(
        "modiste_prompt_start", *form[:2], None, form[2], OWN, [], 12, False, [], [], False
    )
    assert "Set up the environment first" in status("modiste_setup_check")


def test_tags_that_were_read_of_a_picture_that_was_sent_are_chips_to_pin_or_to_leave_out(tab, monkeypatch):
    tags = [
        {"group": "colour", "label": "red", "confidence": 0.9},
        {"group": "neckline", "label": "v", "confidence": 0.5},
    ]
    photos = json.dumps([{"image": "a.png", "tags": tags}, {"image": "b.png", "tags": tags[:1]}])
    tab.webui.runs.mkdir()
    tagged = []

    def command(paths, *form) -> list[str]:
        tagged.append(paths)
        return [sys.executable, "-c", f"print({photos!r})"]

    monkeypatch.setattr(prompt_page, "tag_command", command)
    with Image.open(PHOTO[0]) as picture:
        sent = picture.convert("RGB")
    for _ in range(2):
        shown = tab.press("modiste_prompt_read", None, "", sent, "mini", False)
    assert tagged[0] == tagged[1] and Image.open(tagged[0][0]).tobytes() == sent.tobytes()
    assert shown["modiste_prompt_pin"]["choices"] == ["colour:red", "neckline:v"]
    assert shown["modiste_prompt_leave_out"]["choices"] == ["colour:red", "neckline:v", "colour", "neckline"]
    assert len(shown["modiste_prompt_tags"]) == 3


def test_a_text_is_saved_as_a_style_without_its_settings(tab):
    text = "a red dress, <lora:x-1:0.8>\nNegative prompt: blurry, dark\nSteps: 16, Sampler: Euler"
    shown = tab.press("modiste_prompt_to_style", text)["modiste_run_status"]
    (name,) = tab.styles
    assert tab.styles[name] == ("a red dress, <lora:x-1:0.8>", "blurry, dark") and name in shown.replace("&lt;", "<")
    assert style_of("vesper") == ("Modiste: vesper", "vesper", "")


@pytest.fixture(scope="module")
def finished_pipeline(tmp_path_factory) -> Path:
    """The folder of a run of both routes on a brand of paper."""
    folder = tmp_path_factory.mktemp("brand")
    tiny_base(folder / "base")
    brand_studio.run(brand_studio.brand_photos(folder / "photos"), folder / "base", folder / "out")
    return folder / "out"


@pytest.mark.parametrize("paid", [True, False])
def test_both_routes_become_a_verdict_pictures_and_a_lora_in_the_tab(paid, tab, finished_pipeline, monkeypatch):
    decision = "training" if paid else "no difference"
    tells = [
        "import json, os, sys",
        f"story = json.load(open({str(finished_pipeline / 'report.json')!r}, encoding='utf-8'))",
        f"story['verdict']['decision'] = {decision!r}",
        "print(json.dumps(story))",
    ]
    record, prompt = finished_pipeline / "delivered.json", "<lora:atelierx-0a1b:0.6>, atelierx"
    record.unlink(missing_ok=True)
    if paid:
        record.write_text(json.dumps({"prompt": prompt}))
    command = [sys.executable, "-c", "\n".join(tells)], finished_pipeline
    monkeypatch.setattr(both_page, "pipeline_command", lambda *form: command)
    shown = tab.press("modiste_both_start", PHOTO, "", "sd15", OWN, "atelierx", 16, True, False, False)
    status, verdict = shown["modiste_run_status"], shown["modiste_both_verdict"]
    assert "Done" in status and re.match(r"(Training paid|No difference): \+\d", verdict), status
    pictures, ways = shown["modiste_run_pictures"], shown["modiste_both_ways"]
    assert len(pictures) == 3 * 7 and all(Path(file).is_file() for file, _ in pictures)
    assert [row[0] for row in ways][:2] == ["base, name only", "base, best words"] and len(ways) == 5
    assert all(0 <= value <= 100 for row in ways for value in row[1:])
    assert Path(shown["modiste_both_report"]) == finished_pipeline / "report.html"
    assert shown["modiste_both_text"] == (prompt if paid else "") and tab.refreshed == [True]
    again = tab.reloaded().press("modiste_run_show")
    assert again == shown


def test_a_browser_that_is_closed_changes_nothing_and_the_next_one_shows_all(tab, monkeypatch):
    """The old page lost the delivery with the button's generator: here nobody looks while the job ends."""
    out, go = tab.folder / "runs" / "train-x", tab.folder / "go"
    out.mkdir(parents=True)
    go.write_text("")
    code = OUTLIVES.replace('open("go")', f"open({str(go)!r})")
    code += f"open({str(out / 'delivered.json')!r}, 'w').write(json.dumps(dict(prompt='<lora:b:0.8>, vesper')))\n"
    from modiste.panel import training_page

    monkeypatch.setattr(training_page, "finetune_command", lambda *form: ([sys.executable, "-c", code], out))
    handler, _, _ = tab.of("modiste_training_start").handlers["click"]
    shown = handler(PHOTO, "", "sd15", False, "b", "vesper", 300, 8)
    next(shown)
    shown.close()  # as gradio does where the browser goes
    go.write_text("now")
    job = tab.reloaded().page and CommandProcess.adopt(tab.webui.runs / "job")
    until(job, lambda: not job.running)
    last = tab.reloaded().press("modiste_run_show")
    assert (
        last["modiste_training_text"] == "<lora:b:0.8>, vesper" and "Training</b> · Done" in last["modiste_run_status"]
    )
    assert tab.refreshed == [True]


def test_what_was_stopped_goes_on_by_a_button_of_any_page(tab, monkeypatch):
    marker = tab.folder / "again"
    code = f"import os, sys; p = {str(marker)!r}\nif os.path.exists(p): sys.exit(0)\nopen(p, 'w'); sys.exit(4)"
    tab.webui.runs.mkdir(parents=True)
    current = CurrentJob(tab.webui.runs)
    *_, stopped = watch(current.begin(order_of(code, tab.folder, "training"), os.environ))
    assert stopped.resumable
    other = tab.reloaded()
    assert "Go on" in other.press("modiste_run_show")["modiste_run_status"]
    assert "Done" in other.press("modiste_run_go_on")["modiste_run_status"]
    assert "nothing to go on" in other.press("modiste_run_go_on")["modiste_run_status"]


def test_set_up_names_its_size_before_anything_is_agreed_to(tmp_path, monkeypatch):
    monkeypatch.setenv("MODISTE_VENV", str(tmp_path / "nowhere"))
    for language in LANGUAGES:
        said = setup_page.setup_text(Words(language))
        assert "1.5 GB" in said and "7 GB" in said and str(tmp_path / "nowhere") in said
    assert environment.setup_command()[1:] == [str(ROOT / "install.py"), "setup"]


@pytest.mark.slow
def test_a_photo_becomes_a_best_prompt_in_the_tab(tab):
    shown = tab.press(
        "modiste_prompt_start", PHOTO, "", None, "mini", OWN, ["minimal", "all_tags"], 8, False, [], [], False
    )
    assert "Done" in shown["modiste_run_status"] and len(shown["modiste_run_pictures"]) == 2
    assert shown["modiste_prompt_results"][0][0] == "look-01.jpg" and len(shown["modiste_prompt_tags"]) > 3
    assert "\nSteps: 16" in shown["State"]["look-01.jpg"] == shown["modiste_prompt_text"]
    assert shown["modiste_prompt_best_of"]["value"] == "look-01.jpg"
    assert Path(shown["modiste_prompt_report"]).name == "report.html"


# ── which file ──


def lora_files(tab: Tab, *names: str) -> list[Path]:
    """Files that are LoRAs by their name."""
    files = [tab.webui.lora_folder / name for name in names]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return files


def test_lora_files_or_a_folder_become_a_judgement_and_the_same_form_goes_on_with_the_same_run(tab):
    files = lora_files(tab, "brand-000004.safetensors", "shop/brand.safetensors")
    assert loras_in(tab.webui.lora_folder) == ["brand-000004.safetensors", "shop/brand.safetensors"]
    chosen = judged_files(loras_in(tab.webui.lora_folder), "", tab.webui.lora_folder, True)
    photos, server = [Path(str(PHOTO[0].name))], (SERVER, tab.webui.lora_folder)
    command, out = judge_command(photos, chosen, "mini", "webui", server, "0.6, 1", "vesper", tab.webui.runs)
    assert command[2:5] == ["judge", *map(str, files)] and command[-1] == "--json"
    text = " ".join(command)
    assert "--strengths 0.6,1 --trigger vesper --host webui --lora-dir" in text and " ".join(SERVER) in text
    assert "--photos" in text and out.name.startswith("judge-")
    again = judge_command(
        photos, chosen, "mini", "webui", (("--url", "other"), server[1]), "0.6,1", "vesper", out.parent
    )
    assert again[1] == out and again[0] != command
    samples = tab.folder / "sample"
    samples.mkdir()
    folder = judged_files([], str(samples), tab.webui.lora_folder, True)
    command, _ = judge_command(photos, folder, "mini", "webui", server, "", "two words", tab.webui.runs)
    assert folder == ([samples], True) and "--samples" in command and not {"--host", "--strengths"} & set(command)
    files_there = judged_files([], str(tab.webui.lora_folder), tab.webui.lora_folder, True)
    assert files_there == ([tab.webui.lora_folder], False)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"loras": []}, "no_loras"),
        ({"loras": ["../secret.safetensors"]}, "no_choice"),
        ({"loras": [], "folder": "nowhere"}, "no_folder"),
        ({"loras": [], "folder": ".", "allowed": False}, "no_loras"),
        ({"strengths": "much"}, "no_strengths"),
        ({"strengths": "0"}, "no_strengths"),
        ({"trigger": "two words"}, "one_word"),
        ({"drawer": "somebody"}, "no_choice"),
    ],
)
def test_a_judgement_that_can_not_be_made_is_refused_with_the_reason(tab, change, why):
    lora_files(tab, "a.safetensors")
    form = {
        "loras": ["a.safetensors"],
        "folder": "",
        "allowed": True,
        "strengths": "1",
        "trigger": "",
        "drawer": "webui",
    }
    form |= change
    with pytest.raises(BadForm) as refused:
        judged = judged_files(form["loras"], form["folder"], tab.webui.lora_folder, form["allowed"])
        server = (SERVER, tab.webui.lora_folder)
        judge_command([], judged, "mini", form["drawer"], server, form["strengths"], form["trigger"], tab.webui.runs)
    assert refused.value.why == why


def test_a_judgement_becomes_a_verdict_a_table_and_the_file_for_a_prompt_in_the_tab(tab, monkeypatch):
    lora_files(tab, "brand-000004.safetensors", "brand-000008.safetensors")
    out = tab.webui.runs / "judge-1"
    (out / "images").mkdir(parents=True)
    for name in ("report.html", "images/a.png"):
        (out / name).touch()
    over = {"mean": 0.1, "low": 0.05, "high": 0.15, "confidence": 0.95, "n": 8}
    common = {"identity": "0", "judge": 0.5, "files": ["images/a.png"]}
    rows = [
        {**common, "label": "brand-000004", "file": "/x/brand-000004.safetensors", "standing": "best", "pictures": 16}
        | {"similarity": 0.62, "strength": 0.8},
        {**common, "label": "brand-000008", "standing": "eliminated", "pictures": 4, "similarity": 0.4}
        | {"best_over_it": over},
        {**common, "label": "other", "standing": "changes nothing", "pictures": 0, "similarity": None, "judge": None}
        | {"files": []},
    ]
    anchors = {"kind": "catalogue", "encoder": "e", "zero": 0.1, "hundred": 0.9, "raw_zero": 0.1, "raw_hundred": 0.9}
    report = JudgeReport.model_validate(
        {
            **{"version": "1", "created": "2026-01-01", "kind": "files", "preset": "mini", "references": []},
            **{"settings": {"trigger": "vesper"}, "calibration": {**anchors, "pairs": 1, "note": ""}},
            **{"scorer_judge": None, "rows": rows, "pictures": 40, "full_grid": 48},
            "gains": [
                {"over": "base", "label": "base", "interval": over, "judge": None, "adjusted_p": 0.01, "proven": True}
            ],
            "verdict": {"decision": "keep", "label": "brand-000004", "file": rows[0]["file"], "strength": 0.8},
        }
    )
    (out / "told.json").write_text(report.model_dump_json())
    code = f"print(open({str(out / 'told.json')!r}, encoding='utf-8').read())"
    monkeypatch.setattr(judge_page, "judge_command", lambda *form: ([sys.executable, "-c", code], out))
    shown = tab.press("modiste_judge_start", PHOTO, "", ["brand-000004.safetensors"], "", "mini", OWN, "0.8", "vesper")
    assert "Done" in shown["modiste_run_status"] and shown["modiste_judge_text"] == "<lora:brand-000004:0.8>, vesper"
    assert shown["modiste_judge_verdict"] == ("Keep brand-000004\n+10.0 points over the base model (+5.0 to +15.0)")
    assert [row[0::5] for row in shown["modiste_judge_rows"]] == [
        ["brand-000004", "best"],
        ["brand-000008", "proven worse"],
        ["other", "changes nothing"],
    ]
    assert shown["modiste_judge_rows"][1][3] == "-10.0" and shown["modiste_judge_rows"][2][1] == "–"
    assert Path(shown["modiste_judge_report"]) == out / "report.html" and len(shown["modiste_run_pictures"]) == 2
    assert tab.reloaded().press("modiste_run_show") == shown


def test_the_file_to_keep_is_named_as_the_webui_has_it(tmp_path):
    loras, elsewhere = tmp_path / "Lora", tmp_path / "epochs" / "brand, 4.safetensors"
    elsewhere.parent.mkdir()
    elsewhere.write_bytes(b"weights")
    report = {"verdict": {"decision": "keep", "file": str(elsewhere), "strength": None}, "settings": {}}
    assert judge_page.prompt_text(report, loras) == "<lora:brand, 4:1>"  # nobody copied it
    copy = give_to_host(elsewhere, loras, elsewhere.stem)
    assert judge_page.prompt_text(report, loras) == f"<lora:{copy.stem}:1>" != "<lora:brand, 4:1>"
    own = loras / "mine.safetensors"
    own.write_bytes(b"weights")
    report["verdict"]["file"] = str(own)
    assert judge_page.prompt_text(report, loras) == "<lora:mine:1>"


def test_the_tab_has_a_word_for_every_standing_and_every_decision_of_a_judgement():
    for standing in get_args(Standing):
        assert f"standing_{standing}" in WORDS
    for decision in get_args(JudgeVerdict.model_fields["decision"].annotation):
        assert f"judged_{decision}" in WORDS


@pytest.mark.load
def test_sample_pictures_become_a_verdict_in_the_tab(tab):
    folder = tab.folder / "samples"
    folder.mkdir()
    with Image.open(str(PHOTO[0].name)) as photo:
        for step in (100, 200):
            small = photo.convert("RGB").resize((64, 64)).point(lambda value, step=step: value * step // 200)
            for prompt in range(2):
                small.save(folder / f"step-{step:06d}-{prompt}.png")
    shown = tab.press("modiste_judge_start", PHOTO, "", [], str(folder), "mini", OWN, "1", "")
    assert "Done" in shown["modiste_run_status"] and len(shown["modiste_judge_rows"]) == 2, shown
    assert "step 200" in shown["modiste_judge_verdict"]
