// Modiste in ComfyUI's page: its widgets on its nodes, its menu, settings and panel. The only file that knows the host.

import { api } from "../../scripts/api.js"
import { app } from "../../scripts/app.js"
import { element } from "./dom.js"
import { executionIds, imageOf } from "./images.js"
import { translateTemplate } from "./templates.js"
import { fromServer, withEvent, withResult } from "./training.js"
import { vocabularyIn } from "./vocabulary.js"
import { compareWidget, searchWidget } from "./widgets/findings.js"
import { resultFrame } from "./widgets/frame.js"
import { locksWidget } from "./widgets/locks.js"
import { runsPanel } from "./widgets/runs.js"
import { scoreWidget } from "./widgets/score.js"
import { tagsCard } from "./widgets/tags_card.js"
import { tagsWidget } from "./widgets/tags.js"
import { trainingWidget } from "./widgets/training.js"
import { say, speak, templateWords } from "./words.js"

const CONFIDENCES = "Modiste.Tags.Confidences"
const SMOOTHING = "Modiste.Training.Smoothing"
const TOAST = "Modiste.Training.Toast"
const TAG_IMAGE = "Modiste.TagImage"
const SHOW_RUNS = "Modiste.ShowRuns"
const PANEL = "modiste-runs"
const ALONE_MS = 3000 // between two looks at a training that no server hears

const setting = (id, otherwise) => app.extensionManager?.setting?.get(id) ?? otherwise
const toast = (severity, summary, detail) => app.extensionManager.toast.add({ severity, summary, detail, life: 8000 })

// ── what the server knows ──

let groups = []

async function ask(address, options) {
  const answer = await api.fetchApi(address, options)
  if (!answer.ok)
    throw new Error((await answer.json().catch(() => ({}))).error ?? `${answer.status} ${answer.statusText}`)
  return answer.json()
}

const warned = (instead) => (error) => {
  console.warn("Modiste:", error.message)
  return instead
}

const listRuns = async () => (await ask("/modiste/runs")).runs
const runAccount = async (run) => fromServer(await ask(`/modiste/runs/${encodeURIComponent(run)}`))

// Without it chips are drawn all the same, under the groups' ids.
async function learnVocabulary(language) {
  const { groups: known } = await ask("/modiste/vocabulary").catch(warned({ groups: [] }))
  groups = vocabularyIn(known, language)
}

// ── the last results: they outlive a reload of the page, and stay out of the workflow's file ──

const shelf = (node) => `modiste:${node.graph?.id ?? ""}:${node.id}`

const keep = (node, output) => sessionStorage.setItem(shelf(node), JSON.stringify(output))
const kept = (node) => JSON.parse(sessionStorage.getItem(shelf(node)) ?? "null")

// ── widgets on nodes ──

const widgetOf = (node, name) => node.widgets?.find((widget) => widget.name === name)
const linked = (node, name) => {
  const slot = node.inputs?.findIndex((input) => input.widget?.name === name) ?? -1
  return slot >= 0 && node.isInputConnected(slot)
}

function setInput(node, name, value) {
  const widget = widgetOf(node, name)
  widget.value = value
  if (!widget.element) widget.callback?.(value) // a text area's setter calls it itself
}

// The host looks for changes when a mouse button or key is released, which is before the click that it makes: without
// this word, undo and a reload know nothing of what the click has written.
const noteChange = () => app.extensionManager?.workflow?.activeWorkflow?.changeTracker?.checkState?.()

// Draws the widget again whenever the input is changed from elsewhere: by hand, by undo, by another program.
function follow(node, name, refresh) {
  const widget = widgetOf(node, name)
  const before = widget.callback
  widget.callback = function (...values) {
    const result = before?.apply(this, values)
    refresh()
    return result
  }
}

const FOLDED = "modiste_folded"
const HEIGHT = "modiste_height" // of the results when the graph was saved: the node's own size counts it in

// Puts the results on the node, as high as they are: whatever else the node's height holds is left as it is.
function hang(node, { name, type, title, view, height }) {
  const known = () => node.properties[HEIGHT] ?? height
  const fit = (next) => {
    const change = next - known()
    if (!change) return
    node.properties[HEIGHT] = next
    node.setSize([node.size[0], Math.max(node.computeSize()[1], node.size[1] + change)])
    node.setDirtyCanvas?.(true, true)
  }
  const fold = {
    read: () => node.properties[FOLDED],
    write: (folded) => (folded ? (node.properties[FOLDED] = true) : delete node.properties[FOLDED]),
  }
  const frame = resultFrame({ view, title, fold, onHeight: fit })
  for (const kind of ["click", "change"]) frame.root.addEventListener(kind, noteChange)
  const options = { serialize: false, hideOnZoom: false, getMinHeight: known, getMaxHeight: known }
  const widget = node.addDOMWidget(name, type, frame.root, options)
  widget.serialize = false // its values live in the node's own inputs
  return { ...view, refresh: () => (view.refresh(), frame.refresh()), framed: frame.refresh }
}

// node id → what it wears and how it takes an output of the node. Heights before the first output, in the graph's units.
const WEAR = {
  ModisteTagger(node) {
    const inputs = {
      read: () => ({
        pin: widgetOf(node, "pin").value,
        exclude: widgetOf(node, "exclude").value,
        editable: !linked(node, "pin") && !linked(node, "exclude"),
      }),
      write({ pin, exclude }) {
        setInput(node, "pin", pin)
        setInput(node, "exclude", exclude)
      },
    }
    const view = tagsWidget({ inputs, vocabulary: () => groups, confidences: () => setting(CONFIDENCES, true) })
    const hung = hang(node, { name: "chips", type: "MODISTE_CHIPS", title: say("tags"), view, height: 38 })
    for (const name of ["pin", "exclude"]) follow(node, name, hung.refresh)
    return { ...hung, take: (output) => output.modiste_tags && view.show(output.modiste_tags) }
  },
  ModistePromptBuilder(node) {
    const input = {
      read: () => ({ text: widgetOf(node, "locks").value, editable: !linked(node, "locks") }),
      write: (text) => setInput(node, "locks", text),
    }
    const view = locksWidget({ input, vocabulary: () => groups })
    const hung = hang(node, { name: "fields", type: "MODISTE_FIELDS", title: say("locks"), view, height: 66 })
    follow(node, "locks", hung.refresh)
    const json = widgetOf(node, "locks") // one line is enough for what the rows below it say better
    Object.assign(json.options, { getMinHeight: () => 40, getMaxHeight: () => 40 })
    return { ...hung, take: () => {} }
  },
  ModisteScorer(node) {
    const view = scoreWidget({ vocabulary: () => groups })
    const hung = hang(node, { name: "gauge", type: "MODISTE_GAUGE", title: say("similarity"), view, height: 38 })
    return { ...hung, take: (output) => output.modiste_scores && view.show(output.modiste_scores, output.modiste_best) }
  },
  ModisteLoraTrainer(node) {
    const view = trainingWidget({ smoothing: () => setting(SMOOTHING, 0.9) })
    const hung = hang(node, { name: "curve", type: "MODISTE_CURVE", title: say("training"), view, height: 38 })
    let turn = 0 // of what is shown: an account that comes late must not hide the next training
    const show = (run) => {
      turn += 1
      view.show(run)
      hung.framed()
    }
    const take = async (output) => {
      const [result] = output.modiste_training ?? []
      if (!result) return
      if (result.file) show(withResult(view.run, result))
      const asked = turn
      const told = await runAccount(result.run).catch(warned(null)) // the folder may be gone: what the node said stays
      if (told && asked === turn) show(told.state === "done" ? withResult(told, result) : told)
    }
    const training = {
      show,
      get run() {
        return view.run
      },
    }
    return { ...hung, take, training }
  },
  ModistePromptSearch(node) {
    const view = searchWidget()
    const hung = hang(node, { name: "finding", type: "MODISTE_FINDING", title: say("search"), view, height: 38 })
    return { ...hung, take: (output) => output.modiste_search && view.show(output.modiste_search) }
  },
  ModisteCompare(node) {
    const view = compareWidget()
    const hung = hang(node, { name: "comparison", type: "MODISTE_COMPARISON", title: say("compare"), view, height: 38 })
    return { ...hung, take: (output) => output.modiste_compare && view.show(output.modiste_compare) }
  },
}

const worn = new WeakMap() // node → {take, refresh, training?}

function dress(node) {
  const view = WEAR[node.comfyClass]?.(node)
  if (!view) return
  worn.set(node, view)
  const executed = node.onExecuted
  node.onExecuted = function (output) {
    executed?.call(this, output)
    if (!Object.keys(output ?? {}).some((key) => key.startsWith("modiste_"))) return
    keep(this, output)
    view.take(output)
    view.framed()
  }
}

// Nodes 2.0 reads a field's example from the widget, the classic renderer has none.
function showExamples(node) {
  const { required, optional } = node.constructor.nodeData?.input ?? {}
  for (const [name, [, options]] of Object.entries({ ...required, ...optional })) {
    const widget = options?.placeholder && widgetOf(node, name)
    if (widget?.options) widget.options.placeholder ??= options.placeholder
  }
}

const dressed = () => [...executionIds(app.rootGraph ?? app.graph)].filter(([, node]) => worn.has(node))

let started = false // settings tell their values before there is a graph

function refreshAll() {
  if (!started) return
  for (const [, node] of dressed()) worn.get(node).refresh()
}

// ── trainings ──

const trainers = () => dressed().filter(([, node]) => worn.get(node).training)
const trainerOf = (id) => trainers().find(([known]) => known === String(id))?.[1]

function onTraining({ detail }) {
  const node = trainerOf(detail.node)
  if (!node) return
  const { training } = worn.get(node)
  if (training.run?.run !== detail.run) keep(node, { modiste_training: [{ run: detail.run }] })
  training.show(withEvent(training.run, detail))
}

// Cancelled, failed, or the server was gone: no event of ours says so, the server's account does.
async function onEnd() {
  for (const [, node] of trainers()) {
    const { training } = worn.get(node)
    const { run } = training
    if (run?.state !== "running") continue
    const told = await runAccount(run.run).catch(warned(run))
    if (training.run === run) showAccount(training, told)
  }
}

function showAccount(training, run) {
  training.show(run)
  clearTimeout(training.nextLook)
  if (run.state === "running" && !run.live) training.nextLook = setTimeout(followAlone, ALONE_MS, training, run.run)
}

// A training whose server was ended goes on, and no event tells of it: the server that came after is asked.
async function followAlone(training, run) {
  if (training.run?.run !== run || training.run.live) return
  const told = await runAccount(run).catch(warned(null))
  if (training.run?.run === run && !training.run.live) showAccount(training, told ?? training.run)
}

// A run goes on while the page is closed: what runs is taken up again from the server's account.
async function takeUpRuns() {
  const running = (await listRuns().catch(warned([]))).filter(({ state }) => state === "running")
  for (const { run, node: id } of running) {
    const node = trainerOf(id)
    if (node) showAccount(worn.get(node).training, await runAccount(run))
  }
}

function onLoraReady({ detail }) {
  if (setting(TOAST, true))
    toast("success", say("lora_ready"), `${detail.file}${detail.reason ? ` · ${detail.reason}` : ""}`)
  app.refreshComboInNodes?.()
}

// ── right click on any picture ──

async function tagImage(node) {
  const image = imageOf(node, app.nodeOutputs)
  if (!image) return toast("warn", say("tag_image"), say("no_image"))
  const body = JSON.stringify({ image })
  const headers = { "Content-Type": "application/json" }
  try {
    const found = await ask("/modiste/tag", { method: "POST", headers, body })
    tagsCard({ name: image.filename, ...found, vocabulary: () => groups }).showModal()
  } catch (error) {
    toast("error", say("tag_image_failed"), error.message)
  }
}

const menuItems = (node) =>
  imageOf(node, app.nodeOutputs) ? [{ content: say("tag_image_menu"), callback: () => tagImage(node) }] : []

// Before the front end knew getNodeMenuItems, a node was asked by this method alone.
function addToOldMenu(node) {
  const before = node.getExtraMenuOptions
  node.getExtraMenuOptions = function (canvas, options) {
    const result = before?.call(this, canvas, options)
    options.push(...menuItems(this))
    return result
  }
}

const selectedNode = () => Object.values(app.canvas?.selected_nodes ?? {})[0]

// ── the extension ──

const panel = { view: null }

app.registerExtension({
  name: "Modiste",
  settings: [
    {
      id: CONFIDENCES,
      name: "Show confidences on tag chips",
      type: "boolean",
      defaultValue: true,
      category: ["Modiste", "Tags", "Confidences"],
      onChange: refreshAll,
    },
    {
      id: SMOOTHING,
      name: "Smoothing of the loss curve",
      type: "slider",
      defaultValue: 0.9,
      attrs: { min: 0, max: 0.99, step: 0.01 },
      category: ["Modiste", "Training", "Smoothing"],
      onChange: refreshAll,
    },
    {
      id: TOAST,
      name: "Tell me when a LoRA is ready",
      type: "boolean",
      defaultValue: true,
      category: ["Modiste", "Training", "Toast"],
    },
  ],
  commands: [
    {
      id: TAG_IMAGE,
      label: () => say("tag_image_menu"),
      icon: "pi pi-tags",
      function: () => selectedNode() && tagImage(selectedNode()),
    },
    {
      id: SHOW_RUNS,
      label: () => say("show_runs_menu"),
      icon: "pi pi-chart-line",
      function: () => app.extensionManager.command.execute(`Workspace.ToggleBottomPanelTab.${PANEL}`),
    },
  ],
  menuCommands: [{ path: ["Extensions", "Modiste"], commands: [SHOW_RUNS] }],
  bottomPanelTabs: [
    {
      id: PANEL,
      title: "Modiste",
      type: "custom",
      render(container) {
        panel.view ??= runsPanel({ list: listRuns, account: runAccount })
        container.style.height = "100%"
        container.replaceChildren(panel.view.root)
        panel.view.load()
      },
    },
  ],
  async init() {
    document.head.append(element("link", { rel: "stylesheet", href: new URL("modiste.css", import.meta.url) }))
    const language = setting("Comfy.Locale", "en")
    speak(await ask("/i18n"), language)
    await learnVocabulary(language)
  },
  setup() {
    started = true
    api.addEventListener("modiste.training", onTraining)
    api.addEventListener("modiste.lora_ready", onLoraReady)
    api.addEventListener("execution_interrupted", onEnd)
    api.addEventListener("execution_error", onEnd)
    api.addEventListener("reconnected", () => onEnd().then(takeUpRuns))
  },
  nodeCreated(node) {
    if (String(node.comfyClass).startsWith("Modiste")) showExamples(node)
    dress(node)
    if (!app.collectNodeMenuItems) addToOldMenu(node)
  },
  beforeConfigureGraph(graph) {
    translateTemplate(graph, ...templateWords())
  },
  async afterConfigureGraph() {
    for (const [, node] of dressed()) {
      const view = worn.get(node)
      const output = kept(node)
      if (output) view.take(output)
      view.refresh()
    }
    await takeUpRuns()
  },
  getNodeMenuItems: menuItems,
  getSelectionToolboxCommands: (item) => (item.comfyClass && imageOf(item, app.nodeOutputs) ? [TAG_IMAGE] : []),
})
