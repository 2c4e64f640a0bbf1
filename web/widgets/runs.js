// The bottom panel: every training run with its outcome, and the losses of the chosen ones over one another.

import { layout, path as pathOf, smooth } from "../curve.js"
import { drawing, element } from "../dom.js"
import { say } from "../words.js"
import { short } from "./curve.js"
import { intervalDrawing, reachOf } from "./intervals.js"

const WIDTH = 520
const HEIGHT = 190
const hueOf = (index) => (35 + index * 137.508) % 360

// `server` is {list() → rows of GET /modiste/runs, account(run) → a run of training.js}.
export function runsPanel(server) {
  let rows = []
  const chosen = new Map() // run id → its account, in the order of choosing
  const table = element("div", { class: "modiste-runs" })
  const picture = element("div", { class: "modiste-comparison" })
  const root = element("section", { class: "modiste modiste-panel", "aria-label": say("runs") }, table, picture)
  const hue = (id) => hueOf(rows.findIndex(({ run }) => run === id))

  async function load() {
    rows = await server.list()
    if (!chosen.size) for (const { run } of rows.slice(0, 2)) chosen.set(run, null)
    for (const id of [...chosen.keys()]) if (!rows.some(({ run }) => run === id)) chosen.delete(id)
    await Promise.all([...chosen.keys()].map(account))
    draw()
  }

  async function account(id) {
    const told = await server.account(id)
    if (chosen.has(id)) chosen.set(id, told)
  }

  async function choose(id, wanted) {
    if (!wanted) chosen.delete(id)
    else {
      chosen.set(id, null)
      await account(id)
    }
    drawPicture()
  }

  function line(one, reach) {
    const gain = one.gain && { mean: one.gain.mean, low: one.gain.low, high: one.gain.high }
    const words = gain && { gain: short(gain.mean), low: short(gain.low), high: short(gain.high) }
    const box = element("input", {
      type: "checkbox",
      checked: chosen.has(one.run),
      "aria-label": say("run_choose", { run: one.title || one.run }),
      on: { change: () => choose(one.run, box.checked) },
    })
    return element(
      "tr",
      { "data-state": one.state, style: `--hue:${hue(one.run)}` },
      element("td", {}, box),
      element("th", { scope: "row", title: String(one.file ?? one.run) }, String(one.title || one.run)),
      element("td", { class: "modiste-run-state" }, say(`run_${one.state}`)),
      element(
        "td",
        { class: "modiste-number" },
        one.total ? `${one.steps ?? 0} / ${one.total}` : String(one.steps ?? "–"),
      ),
      element(
        "td",
        { class: "modiste-number" },
        one.best_step === null || one.best_step === undefined ? "–" : String(one.best_step),
      ),
      element("td", {}, gain ? intervalDrawing(gain, reach, say("gain_loss_interval", words)) : "–"),
    )
  }

  function draw() {
    const refresh = element("button", { type: "button", class: "modiste-link", on: { click: load } }, say("refresh"))
    const header = element("header", {}, element("strong", {}, say("runs")), refresh)
    if (!rows.length) {
      table.replaceChildren(header, element("p", { class: "modiste-hint" }, say("runs_empty")))
    } else {
      const gains = rows.map(({ gain }) => gain).filter(Boolean)
      const reach = reachOf(gains)
      const words = ["", say("run"), say("state")]
      const figures = [say("figure_step"), say("best_step")]
      const headings = [
        words.map((name) => element("th", { scope: "col" }, name)),
        figures.map((name) => element("th", { scope: "col", class: "modiste-number" }, name)),
        element("th", { scope: "col" }, say("held_out_gain")),
      ]
      table.replaceChildren(
        header,
        element(
          "table",
          { class: "modiste-table" },
          element("thead", {}, element("tr", {}, headings)),
          element(
            "tbody",
            {},
            rows.map((one) => line(one, reach)),
          ),
        ),
      )
    }
    drawPicture()
  }

  // One scale for all: the longest run's steps, the widest losses.
  function drawPicture() {
    const told = [...chosen].filter(([, run]) => run?.losses.length || run?.heldOut.length)
    if (!told.length) {
      picture.replaceChildren(element("p", { class: "modiste-hint" }, say("runs_choose")))
      return
    }
    const all = {
      total: Math.max(...told.map(([, run]) => run.total || 0)),
      losses: told.flatMap(([, run]) => run.losses).sort((one, other) => one[0] - other[0]),
      heldOut: told.flatMap(([, run]) => run.heldOut),
    }
    const frame = { width: WIDTH, height: HEIGHT }
    const plan = layout(all, frame)
    const place = (points) => points.map(([step, value]) => [plan.xOf(step), plan.yOf(value)])
    const label = say("overlay_label", { runs: told.map(([id]) => nameOf(id)).join(", ") })
    picture.replaceChildren(
      element(
        "header",
        {},
        element("strong", {}, say("losses")),
        element("span", { class: "modiste-fine" }, say("overlay_key")),
      ),
      drawing(
        "svg",
        { class: "modiste-curve modiste-overlay", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label },
        plan.ticksY.map(({ value, y }) => [
          drawing("line", { class: "grid", x1: plan.frame.left, x2: plan.frame.right, y1: y, y2: y }),
          drawing("text", { x: plan.frame.left - 6, y: y + 3, "text-anchor": "end" }, short(value)),
        ]),
        plan.ticksX.map(({ step, x }) => drawing("text", { x, y: HEIGHT - 6, "text-anchor": "middle" }, String(step))),
        told.map(([id, run]) => overlay(id, run, place)),
      ),
    )
  }

  const nameOf = (id) => rows.find(({ run }) => run === id)?.title || id

  function overlay(id, run, place) {
    const held = place(run.heldOut.map(({ step, loss }) => [step, loss]))
    return drawing(
      "g",
      { class: "run", style: `--hue:${hue(id)}` },
      drawing("title", {}, nameOf(id)),
      drawing("path", { class: "raw", d: pathOf(place(smooth(run.losses, 0.9))) }),
      drawing("path", { class: "held", d: pathOf(held) }),
      held.map(([x, y]) => drawing("circle", { cx: x, cy: y, r: 2.2 })),
    )
  }

  return { root, load }
}
