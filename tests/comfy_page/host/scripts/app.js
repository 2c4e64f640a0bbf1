// The part of ComfyUI's front end that an extension meets, small enough to read: nodes with widgets made from the
// golden object_info, DOM widgets, a graph that is kept over a reload, settings, toasts, menus, the bottom panel.
// `?menu=old` stands for front ends that don't know getNodeMenuItems.

import { api } from "./api.js"

const PLAIN = { INT: "number", FLOAT: "number", STRING: "text", BOOLEAN: "toggle", COMBO: "combo" }
const KEPT = "graph"
const settings = JSON.parse(localStorage.getItem("settings") ?? "{}")
const stage = document.getElementById("graph")

class Node {
  constructor(kind, definition) {
    Object.assign(this, {
      id: -1,
      type: kind,
      comfyClass: kind,
      title: definition?.display_name ?? kind,
      inputs: [],
      widgets: [],
      properties: {},
      size: [420, 0],
    })
    this.box = document.createElement("article")
    this.box.className = "node"
    this.box.append(Object.assign(document.createElement("h3"), { textContent: this.title }))
    for (const [name, [type, options]] of Object.entries({
      ...definition?.input.required,
      ...definition?.input.optional,
    })) {
      const plain = Array.isArray(type) ? "combo" : PLAIN[type]
      if (!plain) this.inputs.push({ name, type, link: null })
      else {
        this.inputs.push({ name, type, link: null, widget: { name } })
        this.widgets.push({ name, type: plain, value: options?.default ?? "", options: {} })
      }
    }
  }

  addDOMWidget(name, type, root, options) {
    const widget = { name, type, element: root, options, value: "", frame: document.createElement("div") }
    this.widgets.push(widget)
    widget.frame.append(root)
    this.box.append(widget.frame)
    this.size[1] = this.computeSize()[1]
    return widget
  }

  isInputConnected(slot) {
    return this.inputs[slot].link != null
  }

  computeSize() {
    const heights = this.widgets.map(({ options }) => options?.getMinHeight?.() ?? 24)
    return [420, 30 + heights.reduce((sum, height) => sum + height, 0)]
  }

  setSize(size) {
    this.size = size
    for (const { frame, options } of this.widgets) if (frame) frame.style.height = `${options.getMinHeight()}px`
  }

  getExtraMenuOptions(canvas, options) {
    options.push({ content: "Clone", callback() {} })
  }

  serialize() {
    const values = this.widgets.filter((widget) => widget.serialize !== false).map(({ value }) => value)
    const kept = { properties: { ...this.properties }, size: [...this.size] }
    return { id: this.id, type: this.type, widgets_values: values, ...kept, ...(this.images ? { images: this.images } : {}) }
  }
}

export const app = {
  extensions: [],
  graph: { id: "a-workflow", nodes: [] },
  nodeOutputs: {},
  canvas: { selected_nodes: {} },
  toasts: [],
  refreshed: 0,
  extensionManager: {
    toast: { add: (message) => app.toasts.push(message) },
    setting: {
      get: (id) => settings[id],
      set(id, value) {
        settings[id] = value
        localStorage.setItem("settings", JSON.stringify(settings))
        for (const each of app.extensions.flatMap(({ settings: own }) => own ?? []))
          each.id === id && each.onChange?.(value)
      },
    },
    command: { execute: (id) => app.executed.push(id) },
  },
  executed: [],

  registerExtension(extension) {
    this.extensions.push(extension)
    for (const each of extension.settings ?? []) {
      settings[each.id] ??= each.defaultValue
      each.onChange?.(settings[each.id])
    }
  },
  refreshComboInNodes() {
    this.refreshed++
  },

  async call(hook, ...values) {
    return (await Promise.all(this.extensions.map((extension) => extension[hook]?.(...values, this)))).flat()
  },
  async add(kind) {
    const definition = this.definitions[kind]
    const Kind = class extends Node {
      static nodeData = definition
    }
    const node = new Kind(kind, definition)
    await this.call("nodeCreated", node)
    node.id = 1 + Math.max(0, ...this.graph.nodes.map(({ id }) => id))
    node.graph = this.graph
    this.graph.nodes.push(node)
    stage.append(node.box)
    return node
  },
  async load(graph) {
    this.graph.nodes.length = 0
    stage.replaceChildren()
    for (const saved of graph) {
      const node = await this.add(saved.type)
      node.id = saved.id
      node.images = saved.images
      const own = node.widgets.filter((widget) => widget.serialize !== false)
      own.forEach((widget, index) => (widget.value = saved.widgets_values[index]))
      Object.assign(node.properties, saved.properties)
      if (saved.size) node.size = saved.size
    }
    await this.call("afterConfigureGraph", [])
  },
  keep() {
    localStorage.setItem(KEPT, JSON.stringify(this.graph.nodes.map((node) => node.serialize())))
  },
  menuOf(node) {
    const options = []
    node.getExtraMenuOptions(this.canvas, options)
    if (this.collectNodeMenuItems) options.push(...this.collectNodeMenuItems(node))
    return options
  },
}

if (!location.search.includes("menu=old")) {
  app.collectNodeMenuItems = (node) => app.extensions.flatMap((extension) => extension.getNodeMenuItems(node))
}

window.app = app
window.api = api
window.start = async () => {
  app.definitions = await (await fetch("/object_info")).json()
  for (const address of await (await fetch("/extensions")).json()) await import(address)
  await app.call("init")
  await app.call("setup")
  await app.load(JSON.parse(localStorage.getItem(KEPT) ?? "[]"))
  window.ready = true
}
