// The drawing of a run's losses: what trains, what is held out with its band, the rate, and marks to read off.

import { layout, nearest, smooth } from "../curve.js"
import { drawing, element, ownAddress } from "../dom.js"
import { say } from "../words.js"

export const short = (value) => {
  if (!Number.isFinite(value)) return "–"
  if (value !== 0 && (Math.abs(value) < 0.001 || Math.abs(value) >= 10000))
    return value.toExponential(1).replace(".0e", "e")
  return Number(value.toPrecision(3)).toString()
}

// `openSample(url)` is called with an address of this server.
export function lossCurve(run, { width = 320, height = 150, keep = 0.9, openSample = () => {} } = {}) {
  const plan = layout(run, { width, height, keep })
  const { frame } = plan
  const last = run.losses.at(-1)
  const label = last
    ? say("curve_label", {
        step: last[0],
        total: run.total || last[0],
        loss: short(nearest(smooth(run.losses, keep), last[0])),
      })
    : say("curve_empty")

  const readout = element("div", { class: "modiste-readout", role: "status", "aria-live": "off" })
  const cursor = drawing("line", {
    class: "cursor",
    x1: 0,
    x2: 0,
    y1: frame.top,
    y2: frame.bottom,
    visibility: "hidden",
  })

  function read(event) {
    const box = svg.getBoundingClientRect()
    if (!box.width || !last) return
    const pixel = ((event.clientX - box.left) / box.width) * width
    point(plan.stepAt(pixel))
  }

  function point(step) {
    const x = plan.xOf(step)
    cursor.setAttribute("x1", x)
    cursor.setAttribute("x2", x)
    cursor.setAttribute("visibility", "visible")
    const rate = nearest(run.rates, step)
    const held = nearest(
      run.heldOut.map((each) => [each.step, each.loss]),
      step,
    )
    const parts = [say("step_n", { step }), say("loss_n", { loss: short(nearest(smooth(run.losses, keep), step)) })]
    if (held !== null) parts.push(say("held_out_n", { loss: short(held) }))
    if (rate !== null) parts.push(say("rate_n", { rate: short(rate) }))
    readout.replaceChildren(parts.join(" · "))
  }

  function leave() {
    cursor.setAttribute("visibility", "hidden")
    readout.replaceChildren()
  }

  let at = last?.[0] ?? 0
  function walk(event) {
    const stride = Math.max(1, Math.round((run.total || at || 1) / 50))
    const move = { ArrowLeft: -stride, ArrowRight: stride }[event.key]
    if (!move || !last) return
    event.preventDefault()
    event.stopPropagation()
    at = Math.max(0, Math.min(last[0], at + move))
    readout.setAttribute("aria-live", "polite")
    point(at)
  }

  function sample({ step, url, x, y }) {
    const address = ownAddress(url)
    const open = (event) => {
      if (event.type === "keydown" && event.key !== "Enter" && event.key !== " ") return
      event.preventDefault()
      event.stopPropagation()
      if (address) openSample(address)
    }
    return drawing(
      "g",
      {
        class: "sample",
        tabindex: 0,
        role: "button",
        "aria-label": say("sample_at", { step }),
        on: { click: open, keydown: open },
      },
      drawing("title", {}, say("sample_at", { step })),
      drawing("circle", { cx: x, cy: y, r: 9, class: "reach" }),
      drawing("circle", { cx: x, cy: y, r: 3.6 }),
    )
  }

  const svg = drawing(
    "svg",
    {
      class: "modiste-curve",
      viewBox: `0 0 ${width} ${height}`,
      role: "img",
      tabindex: 0,
      "aria-label": label,
      on: { pointermove: read, pointerleave: leave, keydown: walk, blur: leave },
    },
    plan.ticksY.map(({ value, y }) => [
      drawing("line", { class: "grid", x1: frame.left, x2: frame.right, y1: y, y2: y }),
      drawing("text", { x: frame.left - 6, y: y + 3, "text-anchor": "end" }, short(value)),
    ]),
    plan.ticksX.map(({ step, x }) =>
      drawing("text", { x, y: height - 6, "text-anchor": step ? "middle" : "start" }, String(step)),
    ),
    plan.band && drawing("path", { class: "band", d: plan.band }),
    plan.rate && drawing("path", { class: "rate", d: plan.rate }),
    plan.raw && drawing("path", { class: "raw", d: plan.raw }),
    plan.smooth && drawing("path", { class: "smooth", d: plan.smooth }),
    plan.held && drawing("path", { class: "held", d: plan.held }),
    plan.best &&
      drawing(
        "g",
        { class: "best" },
        drawing("title", {}, say("best_at", { step: plan.best.step })),
        drawing("line", { x1: plan.best.x, x2: plan.best.x, y1: frame.top, y2: frame.bottom }),
      ),
    plan.heldPoints.map(({ step, loss, x, y }) =>
      drawing(
        "circle",
        { class: "held-point", cx: x, cy: y, r: 2.4 },
        drawing("title", {}, say("held_out_at", { step, loss: short(loss) })),
      ),
    ),
    plan.checkpoints.map(({ step, x }) =>
      drawing(
        "path",
        { class: "checkpoint", d: `M${x} ${frame.bottom - 4}l4 4l-4 4l-4 -4z` },
        drawing("title", {}, say("checkpoint_at", { step })),
      ),
    ),
    plan.samples.map(sample),
    cursor,
  )
  return element("div", { class: "modiste-plot" }, svg, readout)
}
