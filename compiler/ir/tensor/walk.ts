/**
 * From a node of the tensor language to what it is made of, and back.
 *
 *   y = map($0 + $1) of x, reduce(w)      →   sources(y): x, reduce(w)      topological([y]): x, w, reduce(w), y
 */
import { axisOf, call, gather, type Input, map, reduce, reindex, scan, type Tensor, update } from "../tensor.js"

/** The tensors that a node is computed from; a call's unit is its own program and not among them. */
export function sources(t: Tensor): readonly Tensor[] {
  switch (t.kind) {
    case "input":
    case "constant":
    case "iota":
      return []
    case "map":
    case "reduce":
      return t.args
    case "scan":
    case "reindex":
      return [t.arg]
    case "gather":
      return [t.arg, t.index]
    case "update":
      return [t.state, t.value]
    case "call":
      return t.args
    default:
      return t satisfies never
  }
}

/** The same node over other sources (in the order of `sources`). An update keeps its state. */
export function rebuild(t: Tensor, made: readonly Tensor[]): Tensor {
  if (sources(t).every((s, i) => s === made[i])) return t
  switch (t.kind) {
    case "input":
    case "constant":
    case "iota":
      return t
    case "map":
      return map(t.body, made)
    case "reduce":
      return reduce(t.monoid, t.axis, made, t.component, t.slot)
    case "scan":
      return scan(t.monoid, t.axis, made[0]!, t.block)
    case "reindex":
      return reindex(made[0]!, t.axes, t.index, t.valid, t.fill)
    case "gather":
      return gather(made[0]!, t.axis, made[1]!)
    case "update":
      return update(t.state, t.axis, t.at, made[1]!, t.axis === undefined ? undefined : axisOf(t, t.axis)!.extent)
    case "call":
      return call(t.unit, made, t.result)
    default:
      return t satisfies never
  }
}

/** The input in whose memory a tensor lies: itself, the state of an update, also through a unit; undefined when it has memory of its own. */
export function homeOf(t: Tensor): Input | undefined {
  if (t.kind === "input") return t
  if (t.kind === "update") return t.state
  const inner = t.kind === "call" ? homeOf(t.unit.results[t.result]!) : undefined
  return inner && t.kind === "call" ? homeOf(t.args[t.unit.inputs.indexOf(inner)]!) : undefined
}

/** All nodes below the roots, sources first, each once. */
export function topological(roots: readonly Tensor[]): readonly Tensor[] {
  const order: Tensor[] = []
  const seen = new Set<Tensor>()
  const visit = (t: Tensor) => {
    if (seen.has(t)) return
    seen.add(t)
    for (const s of sources(t)) visit(s)
    order.push(t)
  }
  for (const r of roots) visit(r)
  return order
}
