// Similarity on its calibrated scale (0 another garment of its kind, 100 the same one again), and what differs.

import { drawing, element, walkable } from "../dom.js"
import { clamp, linear, points, verdictOf } from "../scale.js"
import { groupName, labelName } from "../vocabulary.js"
import { say } from "../words.js"

const WIDTH = 300
const HEIGHT = 40
const EDGE = 8

export function scoreWidget({ vocabulary = () => [] } = {}) {
  let scores = []
  let best = []
  let chosen = 0

  const root = element("section", { class: "modiste modiste-score", "aria-label": say("similarity") })
  const settle = walkable(root, ".modiste-rank button")

  function ruler(similarity) {
    const x = linear(0, 1, EDGE, WIDTH - EDGE)
    const at = x(clamp(similarity, 0, 1))
    const tick = (value) =>
      drawing("line", { class: "tick", x1: x(value), x2: x(value), y1: 24, y2: value % 0.5 ? 28 : 31 })
    const needle = `M${at} 18l5 -8a5.6 5.6 0 1 0 -10 0z`
    return drawing(
      "svg",
      {
        class: "modiste-ruler",
        viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
        role: "img",
        "aria-label": say("gauge_label", { points: points(similarity) }),
      },
      drawing("rect", { class: "track", x: EDGE, y: 18, width: WIDTH - 2 * EDGE, height: 6, rx: 3 }),
      drawing("rect", { class: "fill", x: EDGE, y: 18, width: Math.max(0, at - EDGE), height: 6, rx: 3 }),
      [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1].map(tick),
      [0, 0.5, 1].map((value) =>
        drawing(
          "text",
          { x: x(value), y: 39, "text-anchor": { 0: "start", 0.5: "middle", 1: "end" }[value] },
          points(value),
        ),
      ),
      drawing("path", { class: "needle", d: needle }),
    )
  }

  function differences(rows) {
    if (!rows?.length) return element("p", { class: "modiste-hint" }, say("no_differences"))
    const row = ({ group, reference, image }) =>
      element(
        "li",
        {},
        element("span", { class: "modiste-difference-group" }, groupName(vocabulary(), group)),
        element("span", { class: "modiste-difference-from" }, labelName(vocabulary(), group, reference || "–")),
        element("span", { class: "modiste-arrow", "aria-label": say("became") }, "→"),
        element("span", { class: "modiste-difference-to" }, labelName(vocabulary(), group, image || "–")),
      )
    return element("ul", { class: "modiste-differences", "aria-label": say("differences") }, rows.map(row))
  }

  function anchors({ anchors: known, raw_cosine: raw }) {
    const cosine = Number.isFinite(raw) ? say("raw_cosine", { value: raw.toFixed(3) }) : ""
    if (!known) return element("p", { class: "modiste-fine" }, cosine)
    const ends = { zero: Number(known.raw_zero).toFixed(2), hundred: Number(known.raw_hundred).toFixed(2) }
    const generic = known.kind !== "measured"
    return element(
      "p",
      { class: "modiste-fine", "data-generic": generic },
      cosine,
      " · ",
      say(generic ? "anchors_generic" : "anchors_measured", ends),
    )
  }

  function rank(index) {
    const one = scores[index]
    const select = () => {
      chosen = index
      draw()
      root.querySelector(`.modiste-rank [data-image="${index}"]`)?.focus()
    }
    const words = { image: index + 1, points: points(one.similarity) }
    return element(
      "li",
      {},
      element(
        "button",
        {
          type: "button",
          "data-image": index,
          "aria-pressed": index === chosen ? "true" : "false",
          "aria-label": say("rank_label", words),
          on: { click: select },
        },
        element("span", { class: "modiste-rank-bar", style: `--share:${clamp(one.similarity, 0, 1) || 0}` }),
        element("span", {}, points(one.similarity)),
      ),
    )
  }

  function draw() {
    if (!scores.length) {
      root.replaceChildren(element("p", { class: "modiste-hint" }, say("score_empty")))
      return
    }
    chosen = scores[chosen] ? chosen : 0
    const one = scores[chosen]
    const byScore = [...scores.keys()].sort((a, b) => scores[b].similarity - scores[a].similarity)
    const all = [...new Set([...best.filter((index) => scores[index]), ...byScore])]
    const place = scores.length > 1 ? say("rank_of", { rank: all.indexOf(chosen) + 1, count: scores.length }) : ""
    root.replaceChildren(
      element(
        "header",
        { class: "modiste-figure", "data-verdict": verdictOf(one.similarity) },
        element("strong", {}, points(one.similarity)),
        element("span", {}, say(`verdict_${verdictOf(one.similarity)}`), place && element("small", {}, place)),
      ),
      ruler(one.similarity),
      element(
        "div",
        { class: "modiste-ends" },
        element("span", {}, say("end_zero")),
        element("span", {}, say("end_hundred")),
      ),
      scores.length > 1
        ? element("ol", { class: "modiste-rank", "aria-label": say("images_best_first") }, all.map(rank))
        : "",
      element("h4", {}, say("differences")),
      differences(one.differences),
      anchors(one),
    )
    settle()
  }

  draw()
  return {
    root,
    show(payload, order) {
      scores = payload ?? []
      best = order ?? []
      chosen = best[0] ?? 0
      draw()
    },
    gist() {
      const one = scores[chosen]
      return one ? `${points(one.similarity)} · ${say(`verdict_${verdictOf(one.similarity)}`)}` : ""
    },
    refresh: draw,
  }
}
