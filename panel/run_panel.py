"""The run panel above the pages: the one place that shows what runs, in any browser, after any reload.

A page hands in what its buttons start (`starts`) and how its kind of job is shown (`shows`). Whoever looks follows the
same job; nothing that a job must do hangs on somebody looking.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ..install import own_environ
from . import environment
from .commands import BadForm
from .current_job import CurrentJob, status_of, watch
from .job import CommandProcess, JobOrder
from .send_buttons import style_of
from .texts import Words
from .webui_settings import WebuiSettings

Update = Mapping[str, Any]  # name of an output → its new value
View = Callable[[CommandProcess], Update]
ID = "modiste_run"


class RunPanel:
    """Status, pictures and buttons of the one job, and the outputs of every page."""

    def __init__(self, webui: WebuiSettings, words: Words, current_job: CurrentJob):
        import gradio as gr

        self.webui, self.words, self.current_job = webui, words, current_job
        self._outputs: dict[str, Any] = {}
        self._views: dict[str, View] = {}
        self._starts: list[tuple[Any, list[Any], Callable[..., JobOrder]]] = []
        with gr.Accordion(label=words("run_panel"), open=True, elem_id=ID):
            # What was so when the WebUI started; javascript/modiste.js asks for the present until it is replaced.
            at_start = f'<div data-modiste="built">{status_of(current_job.job, words)}</div>'
            status = gr.HTML(at_start, elem_id=f"{ID}_status")
            with gr.Row():
                self._show = gr.Button(words("watch"), elem_id=f"{ID}_show")
                self._go_on = gr.Button(words("go_on"), elem_id=f"{ID}_go_on")
                self._cancel = gr.Button(words("cancel"), variant="stop", elem_id=f"{ID}_cancel")
            pictures = gr.Gallery(label=words("pictures"), columns=6, height="auto", elem_id=f"{ID}_pictures")
        self._outputs |= {"status": status, "pictures": pictures}

    def shows(self, kind: str, outputs: Mapping[str, Any], view: View) -> None:
        """`view` gives the updates of `outputs` (by name) from a job of this kind that runs or has ended."""
        self._outputs |= {f"{kind}.{name}": output for name, output in outputs.items()}
        self._views[kind] = view

    def starts(self, button: Any, inputs: Sequence[Any], order_of: Callable[..., JobOrder]) -> None:
        """The button starts what `order_of` makes of the inputs' values, and follows it; BadForm is shown."""
        self._starts.append((button, list(inputs), order_of))

    def saves(self, button: Any, text: Any) -> None:
        """The button saves the text as a style of the WebUI and says under which name."""
        press(button, self._save_style, [text], [self._outputs["status"]])

    def _save_style(self, text: str) -> str:
        name, prompt, negative = style_of(text or "")
        if not prompt:
            return f"<div>{self.words('no_text')}</div>"
        saved = self.webui.save_style(name, prompt, negative)
        return f"<div>{self.words('style_saved', name=html.escape(saved))}</div>"

    def connect(self) -> None:
        """Connects every button, once all pages have handed in theirs."""
        outputs = list(self._outputs.values())
        for button, inputs, order_of in self._starts:
            press(button, self._starter(order_of), inputs, outputs)
        press(self._show, self.follow, [], outputs)
        press(self._go_on, self.go_on, [], outputs)
        press(self._cancel, self.cancel, [], outputs[:1])

    def _starter(self, order_of: Callable[..., JobOrder]) -> Callable[..., Iterator[tuple[Any, ...]]]:
        def start(*fields: Any) -> Iterator[tuple[Any, ...]]:
            try:
                self.begin(order_of(*fields))
            except BadForm as wrong:
                yield self.refused(wrong)
                return
            yield from self.follow()

        return start

    def begin(self, order: JobOrder) -> CommandProcess:
        """Starts a job; BadForm where one runs, or where the own environment that it needs is not there."""
        if not order.plain and not environment.is_installed():
            raise BadForm("environment", "no_environment")
        return self.current_job.begin(order, {**own_environ(), **self.webui.secrets})

    def go_on(self) -> Iterator[tuple[Any, ...]]:
        """Starts the last job's command once more, which goes on where it stopped, and follows it."""
        job = self.current_job.job
        try:
            if job is None or job.finished:
                raise BadForm("job", "nothing_to_go_on")
            self.begin(job.order)
        except BadForm as wrong:
            yield self.refused(wrong)
            return
        yield from self.follow()

    def follow(self) -> Iterator[tuple[Any, ...]]:
        """Shows the running or last job at every change, also one that another browser or an earlier start began."""
        job = self.current_job.job
        if job is None:
            yield self._updates({"status": status_of(None, self.words)})
            return
        for state in watch(job):
            yield self._updates(self._shown(state))

    def cancel(self) -> str:
        """Asks the job to end; returns the status."""
        self.current_job.cancel()
        return status_of(self.current_job.job, self.words)

    def refused(self, wrong: BadForm) -> tuple[Any, ...]:
        """Updates that show the refusal in the status alone."""
        return self._updates({"status": f"<div><b>{self.words(wrong.why)}</b></div>"})

    def _shown(self, job: CommandProcess) -> dict[str, Any]:
        kind = job.order.kind
        shown = {"status": status_of(job, self.words), "pictures": list(job.pictures)}
        view = self._views.get(kind)
        for name, value in (view(job) if view else {}).items():
            shown[name if name in ("status", "pictures") else f"{kind}.{name}"] = value
        return shown

    def _updates(self, shown: Mapping[str, Any]) -> tuple[Any, ...]:
        """One update an output, in their order."""
        import gradio as gr

        return tuple(shown[name] if name in shown else gr.update() for name in self._outputs)


def press(button: Any, handler: Callable[..., Any], inputs: list[Any], outputs: list[Any]) -> None:
    """Connects a button to its handler, without gradio's own spinner over the outputs."""
    button.click(fn=handler, inputs=inputs, outputs=outputs, show_progress="hidden")
