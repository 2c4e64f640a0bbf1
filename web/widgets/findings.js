// What a search or a comparison found, as a small table: the prompt or strength, its score, its gain with interval.

import { copyText, element } from "../dom.js"
import { points, signed } from "../scale.js"
import { say } from "../words.js"
import { intervalDrawing, reachOf } from "./intervals.js"

const asGain = (mean, interval) => ({ mean, low: interval?.[0] ?? NaN, high: interval?.[1] ?? NaN })

function gainCells(gain, reach) {
  const words = { gain: signed(gain.mean), low: signed(gain.low), high: signed(gain.high) }
  const label = say("gain_interval", words)
  return [
    element("td", { class: "modiste-number", title: label }, words.gain),
    element("td", {}, intervalDrawing(gain, reach, label)),
  ]
}

const head = (...names) =>
  element(
    "thead",
    {},
    element(
      "tr",
      {},
      names.map((name) => element("th", { scope: "col" }, name)),
    ),
  )

// ui.modiste_search: [{strategy, prompt, similarity, baseline, interval: [low, high] of the gain, improved}]
export function searchWidget({ copy = copyText } = {}) {
  const root = element("section", { class: "modiste modiste-search", "aria-label": say("search") })

  function finding(one) {
    const gain = asGain(one.similarity - one.baseline, one.interval)
    const press = async (event) => {
      const button = event.currentTarget
      await copy(String(one.prompt))
      button.replaceChildren(say("copied"))
    }
    const words = { gain: signed(gain.mean), low: signed(gain.low), high: signed(gain.high) }
    return element(
      "article",
      { class: "modiste-finding" },
      element(
        "header",
        { class: "modiste-figure", "data-verdict": one.improved ? "same" : "kin" },
        element("strong", {}, points(one.similarity)),
        element(
          "span",
          {},
          say(one.improved ? "search_improved" : "search_even"),
          element("small", {}, say("search_baseline", { points: points(one.baseline) })),
        ),
      ),
      element(
        "p",
        { class: "modiste-gain" },
        intervalDrawing(gain, reachOf([gain]), say("gain_interval", words)),
        element("span", {}, say("gain_interval", words)),
      ),
      element("p", { class: "modiste-prompt" }, String(one.prompt)),
      element(
        "p",
        { class: "modiste-fine" },
        say("strategy_is", { strategy: one.strategy }),
        element("button", { type: "button", class: "modiste-link", on: { click: press } }, say("copy_prompt")),
      ),
    )
  }

  let rows = []
  function show(payload) {
    rows = payload ?? []
    root.replaceChildren(
      ...(rows.length ? rows.map(finding) : [element("p", { class: "modiste-hint" }, say("search_empty"))]),
    )
  }
  show([])
  const gist = () => rows.map((one) => `${points(one.similarity)} · ${one.prompt}`).join(" · ")
  return { root, show, gist, refresh: () => {} }
}

// ui.modiste_compare: [{rows: [{strength, similarity, gain, interval}], verdict}]
export function compareWidget() {
  const root = element("section", { class: "modiste modiste-compare", "aria-label": say("compare") })

  let found = null
  function show(payload) {
    found = payload?.[0] ?? null
    if (!found?.rows?.length) {
      root.replaceChildren(element("p", { class: "modiste-hint" }, say("compare_empty")))
      return
    }
    const gains = found.rows.map((row) => asGain(row.gain, row.interval))
    const reach = reachOf(gains)
    const best = found.rows.reduce((top, row) => (row.similarity > top.similarity ? row : top))
    const body = found.rows.map((row, index) =>
      element(
        "tr",
        { "data-best": row === best },
        element("th", { scope: "row" }, row.strength === 0 ? say("base") : String(row.strength)),
        element("td", { class: "modiste-number" }, points(row.similarity)),
        ...(row.strength === 0 ? [element("td", { colspan: 2 })] : gainCells(gains[index], reach)),
      ),
    )
    root.replaceChildren(
      element("p", { class: "modiste-verdict" }, String(found.verdict ?? "")),
      element(
        "table",
        { class: "modiste-table" },
        head(say("strength"), say("similarity"), say("gain"), ""),
        element("tbody", {}, body),
      ),
    )
  }
  show([])
  return { root, show, gist: () => String(found?.verdict ?? ""), refresh: () => {} }
}
