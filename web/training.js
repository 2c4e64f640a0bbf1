// One training run as the page knows it: from the server's account, then event by event. Pure: no page, no host.

const MOST_POINTS = 4000

const emptyRun = (run, node) => ({
  run,
  node: node ?? null,
  state: "running",
  live: true, // whether the server hears its process; else it was started by one that is gone
  stage: "",
  part: null, // {done, total} of a stage that is not the training itself
  done: 0, // steps
  total: 0, // steps
  losses: [],
  rates: [],
  heldOut: [],
  checkpoints: [],
  samples: [],
  etaS: null,
  memoryMb: null,
  bestStep: null,
  file: null,
  reason: "",
  message: "",
})

// What GET /modiste/runs/{run} answers.
export function fromServer(account) {
  const losses = account.losses ?? []
  return {
    ...emptyRun(account.run, account.node),
    state: account.state ?? "running",
    live: account.live ?? true,
    done: losses.length ? losses[losses.length - 1][0] : 0,
    total: account.total ?? 0,
    losses,
    rates: account.rates ?? [],
    heldOut: account.held_out ?? [],
    checkpoints: account.checkpoints ?? [],
    samples: account.samples ?? [],
    etaS: account.eta_s ?? null,
    memoryMb: account.memory_mb ?? null,
    bestStep: account.best_step ?? null,
    file: account.file ?? null,
    reason: account.reason ?? "",
    message: account.message ?? "",
  }
}

// One point a step, in order of steps: a resumed run tells some steps again, and the later word counts.
function withPoint(points, step, value) {
  if (!Number.isFinite(step) || !Number.isFinite(value)) return points
  const kept = points.length && points[points.length - 1][0] >= step ? points.filter(([at]) => at < step) : points
  const all = [...kept, [step, value]]
  return all.length > MOST_POINTS ? all.filter((_, index) => index % 2 === 0 || index === all.length - 1) : all
}

const withLook = (looks, look) =>
  [...looks.filter(({ step }) => step !== look.step), look].sort((one, other) => one.step - other.step)

const withSample = (samples, sample) => [...samples.filter(({ url }) => url !== sample.url), sample]

// One `modiste.training` event. An event of another run begins anew.
export function withEvent(before, event) {
  const run = before?.run === event.run ? before : emptyRun(event.run, event.node)
  const stage = event.stage ?? run.stage
  const training = stage === "train"
  const step = training ? event.done : run.done
  const { checkpoint } = event
  return {
    ...run,
    node: event.node ?? run.node,
    state: "running",
    live: true,
    stage,
    part: training ? null : { done: event.done ?? 0, total: event.total ?? 0 },
    done: step ?? run.done,
    total: (training && event.total) || run.total,
    message: event.message ?? "",
    etaS: event.eta_s ?? null,
    memoryMb: event.memory_mb ?? run.memoryMb,
    losses: withPoint(run.losses, step, event.loss ?? NaN),
    rates: withPoint(run.rates, step, event.rate ?? NaN),
    heldOut: event.held_out ? withLook(run.heldOut, event.held_out) : run.heldOut,
    checkpoints: Number.isInteger(checkpoint) ? [...new Set([...run.checkpoints, checkpoint])] : run.checkpoints,
    samples: event.sample ? withSample(run.samples, { step, url: event.sample }) : run.samples,
  }
}

// What a finished node says of its run (`ui.modiste_training`).
export function withResult(before, result) {
  const run = before?.run === result.run ? before : emptyRun(result.run, null)
  return {
    ...run,
    state: "done",
    etaS: null,
    part: null,
    message: "",
    file: result.file ?? run.file,
    bestStep: result.best_step ?? run.bestStep,
    reason: result.reason ?? run.reason,
  }
}

// Seconds → [words key, values]: what remains is told as roughly as it is known.
export function duration(seconds) {
  if (!Number.isFinite(seconds) || seconds === null || seconds < 0) return null
  const s = Math.round(seconds)
  if (s < 60) return ["seconds", { s }]
  if (s < 3600) return ["minutes", { m: Math.floor(s / 60), s: String(s % 60).padStart(2, "0") }]
  return ["hours", { h: Math.floor(s / 3600), m: String(Math.floor((s % 3600) / 60)).padStart(2, "0") }]
}
