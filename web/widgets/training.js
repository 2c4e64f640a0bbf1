// A training as it runs: how far, how long still, how much memory, the loss curve, and the pictures it drew.

import { element, ownAddress } from "../dom.js"
import { clamp } from "../scale.js"
import { duration } from "../training.js"
import { say } from "../words.js"
import { lossCurve, short } from "./curve.js"

const SAMPLES_SHOWN = 6
const STAGES = new Set(["engine", "data", "photos", "model", "latents", "captions", "train", "drawing", "signs"])

export function trainingWidget({
  smoothing = () => 0.9,
  open = (address) => window.open(address, "_blank", "noopener"),
} = {}) {
  let run = null
  const root = element("section", { class: "modiste modiste-training", "aria-label": say("training") })

  function figures() {
    const left = run.state === "running" && duration(run.etaS)
    const cells = [
      [say("figure_step"), run.total ? `${run.done} / ${run.total}` : String(run.done)],
      [say("figure_left"), left ? say(...left) : "–"],
      [say("figure_rate"), run.rates.length ? short(run.rates.at(-1)[1]) : "–"],
      [
        say("figure_memory"),
        Number.isFinite(run.memoryMb) && run.memoryMb !== null
          ? say("gigabytes", { gb: (run.memoryMb / 1024).toFixed(1) })
          : "–",
      ],
    ]
    return element(
      "dl",
      { class: "modiste-figures" },
      cells.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))),
    )
  }

  function bar() {
    const { done, total } = run.part ?? run
    const share = run.state === "done" ? 1 : clamp(total ? done / total : 0, 0, 1)
    return element(
      "div",
      {
        class: "modiste-bar",
        role: "progressbar",
        "aria-label": say("training"),
        "aria-valuemin": 0,
        "aria-valuemax": 100,
        "aria-valuenow": Math.round(share * 100),
      },
      element("span", { style: `--share:${share}` }),
    )
  }

  function thumbnail({ step, url }) {
    const address = ownAddress(url)
    if (!address) return null
    return element(
      "button",
      {
        type: "button",
        class: "modiste-thumbnail",
        "aria-label": say("sample_at", { step }),
        title: say("sample_at", { step }),
        on: { click: () => open(address) },
      },
      element("img", { src: address, alt: "", loading: "lazy", decoding: "async" }),
      element("span", {}, String(step)),
    )
  }

  function legend() {
    const entry = (kind, word) => element("span", { "data-kind": kind }, say(word))
    return element(
      "p",
      { class: "modiste-legend" },
      entry("smooth", "legend_loss"),
      run.heldOut.length ? entry("held", "legend_held_out") : null,
      run.rates.length ? entry("rate", "legend_rate") : null,
      run.checkpoints.length ? entry("checkpoint", "legend_checkpoint") : null,
      run.samples.length ? entry("sample", "legend_sample") : null,
    )
  }

  function doing() {
    const words = [STAGES.has(run.stage) ? say(`stage_${run.stage}`) : run.stage]
    if (run.part?.total) words.push(`${run.part.done} / ${run.part.total}`)
    return [...words, run.message].filter(Boolean).join(" · ")
  }

  function draw() {
    if (!run) {
      root.replaceChildren(element("p", { class: "modiste-hint" }, say("training_empty")))
      return
    }
    const focused = root.contains(document.activeElement) && document.activeElement.getAttribute("aria-label")
    const saying = run.state === "running" ? doing() : run.reason || run.message
    const samples = run.samples.slice(-SAMPLES_SHOWN).map(thumbnail)
    root.replaceChildren(
      element(
        "header",
        { class: "modiste-state", "data-state": run.state },
        element("strong", {}, say(`run_${run.state}`)),
        element("span", { title: String(run.file ?? run.run) }, String(run.file ?? run.run)),
      ),
      bar(),
      figures(),
      lossCurve(run, { keep: smoothing(), openSample: open }),
      legend(),
      samples.some(Boolean) ? element("div", { class: "modiste-samples" }, samples) : "",
      saying ? element("p", { class: "modiste-message" }, saying) : "",
    )
    // A redraw of a running training must not take the keyboard away.
    if (focused)
      [...root.querySelectorAll("[aria-label]")].find((each) => each.getAttribute("aria-label") === focused)?.focus()
  }

  draw()
  return {
    root,
    show(next) {
      run = next
      draw()
    },
    get run() {
      return run
    },
    gist: () => (run ? [say(`run_${run.state}`), run.total ? `${run.done} / ${run.total}` : ""].join(" ") : ""),
    refresh: draw,
  }
}
