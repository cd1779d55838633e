/**
 * The leaves of the kernel language as JavaScript: array elements, reductions, scans, components.
 *
 *   sum_{k < 64}(x[i, k] * w[k])   →   s = 0; for (let k = 0; k < 64; k++) { s = s + Math.fround(x[o + k] * w[k]) } s = Math.fround(s)
 *
 * An index is checked in the block of its own variables, so an inner loop checks only what it counts; offsets grow from the outer to the inner
 * variables for the same reason. Online monoids have been spelled as two passes (online.ts). A reduction is computed once per point of its free variables: its state is declared where they are bound; where it
 * stands behind a guard, a flag remembers that it is done. A scan keeps its state between the points of `at` and only catches up.
 */
import { add, freeVariables, identity, literal, mul } from "../ir/expression.js"
import type { Component, Expression, Load, LocalRead, Reduce, Scan } from "../ir/nodes.js"
import type { Axis } from "../ir/tensor.js"
import { KernelFault, type KernelFaultCode } from "./kernel-fault.js"
import { identityNumbers, type PlainPart, plainParts, stepText } from "./monoid.js"
import type { Atom, Block, Emitter, Leaves } from "./scalar.js"
import { givenBound } from "./scalar-bounds.js"
import { numberText, roundText } from "./scalar-operations.js"

/** An array as the text knows it: row-major, one extent per axis. Without `bounds`, the bound of an element is its absolute value. */
export interface ArrayAccess {
  readonly values: string
  readonly bounds: string | undefined
  readonly shape: readonly Expression[]
  /** For messages. */
  readonly label: string
  readonly fault: KernelFaultCode
}

export function createLeaves(resolve: (x: Load | LocalRead) => ArrayAccess): Leaves {
  const states = new WeakMap<Block, Map<Expression, FoldState>>()
  return (emitter, x) => {
    switch (x.kind) {
      case "load":
      case "localRead":
        return element(emitter, x, resolve(x))
      case "reduce":
        return emitReduce(emitter, x, states)
      case "scan":
        return emitScan(emitter, x, states)
      case "component":
        return emitComponent(emitter, x)
      default:
        throw new KernelFault("malformed", `${x.kind} has no place in a kernel`)
    }
  }
}

function element(emitter: Emitter, x: Load | LocalRead, array: ArrayAccess): Atom {
  const offset = emitOffset(emitter, array, x.index)
  const value = emitter.constant(`${array.values}[${offset}]`)
  if (!emitter.bounded(x)) return { value, bound: "" }
  const bound = array.bounds === undefined ? `Math.abs(${value})` : `${array.bounds}[${offset}]`
  return { value, bound: emitter.constant(bound) }
}

/** Loops over the axes, the first outermost. */
export function nest(emitter: Emitter, axes: readonly Axis[], body: () => void): void {
  const [first, ...rest] = axes
  if (first === undefined) body()
  else emitter.loop(first.name, first.extent, () => nest(emitter, rest, body))
}

/** The text of the offset of an element, after the checks of its index. */
export function emitOffset(emitter: Emitter, array: ArrayAccess, index: readonly Expression[]): string {
  if (index.length !== array.shape.length)
    throw new KernelFault("malformed", `${array.label} has ${array.shape.length} axes and gets ${index.length} indices`)
  index.forEach((at, axis) => {
    const extent = array.shape[axis]!
    checkRange(emitter, at, extent, array.fault, (found, limit) => {
      return `index ${found} of axis ${axis} of ${array.label} is outside of its ${limit} elements`
    })
  })
  let stride: Expression = literal(1)
  const terms: Expression[] = []
  for (let axis = index.length - 1; axis >= 0; axis--) {
    terms.push(mul(index[axis]!, stride))
    stride = mul(stride, array.shape[axis]!)
  }
  const depth = (x: Expression) => emitter.home(freeVariables(x)).depth
  terms.sort((a, b) => depth(a) - depth(b))
  return emitter.emit(terms.reduce<Expression>((sum, term) => add(sum, term), literal(0))).value
}

function checkRange(
  emitter: Emitter,
  index: Expression,
  extent: Expression,
  code: KernelFaultCode,
  message: (found: number, limit: number) => string,
): void {
  const limit = extent.kind === "literal" ? extent.value : undefined
  if (index.kind === "literal" && limit !== undefined && index.value >= 0 && index.value < limit) return
  if (index.kind === "variable") {
    const counted = emitter.binding(index.name).extent
    if (counted === extent) return
    if (counted?.kind === "literal" && limit !== undefined && counted.value <= limit) return
  }
  const key = `range ${identity(index)} ${identity(extent)}`
  if (emitter.known(key) !== undefined) return
  const names = new Set([...freeVariables(index), ...freeVariables(extent)])
  const target = emitter.guard(emitter.home(names))
  emitter.within(target, () => {
    const [at, count] = [emitter.emit(index).value, emitter.emit(extent).value]
    const fault = emitter.hold((found: number, of: number) => {
      throw new KernelFault(code, message(found, of))
    })
    emitter.push(`if (!(${at} >= 0 && ${at} < ${count})) ${fault}(${at}, ${count});`)
    target.known.set(key, { value: "", bound: "" })
  })
}

interface FoldState {
  readonly parts: readonly PartState[]
  /** The flag of a guarded reduction, the next position of a scan. */
  readonly mark: string
}
interface PartState {
  readonly monoid: PlainPart
  readonly at: number
  readonly dtype: Expression["dtype"]
  /** One name per component; arrays of ranks for `top`. */
  readonly names: readonly string[]
  readonly bound: string | undefined
}
type States = WeakMap<Block, Map<Expression, FoldState>>

/** The state of a fold, declared in `home` on first use. */
function stateOf(emitter: Emitter, x: Reduce | Scan, home: Block, states: States): FoldState {
  const here = states.get(home) ?? new Map<Expression, FoldState>()
  states.set(home, here)
  const known = here.get(x)
  if (known !== undefined) return known
  const made = emitter.within(home, (): FoldState => {
    const mark = emitter.fresh("mark")
    emitter.push(`let ${mark} = 0;`)
    const parts = plainParts(x.monoid).map(({ monoid, at }): PartState => {
      const first = x.lift[at]!
      const declare = (start: number, keyword = "let") => {
        const name = emitter.fresh("s")
        if (monoid.kind === "top") emitter.push(`const ${name} = ${emitter.hold(new Float64Array(monoid.k))};`)
        else emitter.push(`${keyword} ${name} = ${numberText(start)};`)
        return name
      }
      const names = identityNumbers(monoid, first.dtype).map((n) => declare(n))
      const bound = emitter.bounded(first) ? declare(0) : undefined
      return { monoid, at, dtype: first.dtype, names, bound }
    })
    return { parts, mark }
  })
  here.set(x, made)
  return made
}

function resetText({ monoid, dtype, names, bound }: PartState): string {
  const start = identityNumbers(monoid, dtype)
  const set = (name: string, n: number) =>
    monoid.kind === "top" ? `${name}.fill(${numberText(n)});` : `${name} = ${numberText(n)};`
  const own = names.map((name, i) => set(name, start[i]!))
  return [...own, ...(bound === undefined ? [] : [set(bound, givenBound(start[0]!))])].join(" ")
}

function emitStep(emitter: Emitter, x: Reduce | Scan, state: FoldState): void {
  const lifted = x.lift.map((y) => emitter.emit(y))
  for (const { monoid, at, dtype, names, bound } of state.parts) {
    const tuple = lifted.slice(at, at + names.length)
    const bounds = bound === undefined ? undefined : { state: bound, tuple: tuple[0]!.bound }
    emitter.push(stepText(monoid, dtype, { state: names, tuple: tuple.map((a) => a.value), bound: bounds }))
  }
}

const componentKey = (x: Reduce | Scan, index: number) => `component ${identity(x)} ${index}`

/** Makes the components known in the current block; gives the first. `finish` says what is read for a sum's running total. */
function publish(emitter: Emitter, x: Reduce | Scan, state: FoldState, finish: (name: string) => string): Atom {
  for (const { monoid, at, names, bound } of state.parts)
    names.forEach((name, i) => {
      const value = monoid.kind === "top" ? name : finish(name)
      const atom = {
        value,
        bound: i === 0 && bound !== undefined ? (monoid.kind === "top" ? bound : finish(bound)) : "",
      }
      emitter.block.known.set(componentKey(x, at + i), atom)
    })
  const first = emitter.known(componentKey(x, 0))!
  return state.parts[0]!.monoid.kind === "top" ? ranked(first, "0") : first
}

const ranked = ({ value, bound }: Atom, slot: string): Atom => ({
  value: `${value}[${slot}]`,
  bound: bound === "" ? "" : `${bound}[${slot}]`,
})

const needsRounding = (emitter: Emitter, part: PartState) =>
  part.monoid.kind === "sum" && part.dtype === "f32" && emitter.arithmetic !== "float64"

function emitReduce(emitter: Emitter, x: Reduce, states: States): Atom {
  const home = emitter.home(freeVariables(x))
  const state = stateOf(emitter, x, home, states)
  const compute = () => {
    for (const part of state.parts) emitter.push(resetText(part))
    emitter.loop(x.axis, x.extent, () => emitStep(emitter, x, state))
    for (const part of state.parts)
      if (needsRounding(emitter, part)) emitter.push(`${part.names[0]} = ${roundText("f32", part.names[0]!)};`)
  }
  if (emitter.block === home) compute()
  else emitter.push(`if (${state.mark} === 0) {\n${state.mark} = 1;\n${emitter.inside(true, new Map(), compute)}\n}`)
  return publish(emitter, x, state, (name) => name)
}

function emitScan(emitter: Emitter, x: Scan, states: States): Atom {
  const names = new Set(x.lift.flatMap((y) => [...freeVariables(y)]))
  names.delete(x.axis)
  const state = stateOf(emitter, x, emitter.home(names), states)
  const next = state.mark
  const at = emitter.emit(x.at).value
  const reset = state.parts.map(resetText).join(" ")
  emitter.push(`if (${next} === 0 || ${at} + 1 < ${next}) { ${next} = 0; ${reset} }`)
  const binding = new Map([[x.axis, { text: next }]])
  const body = emitter.inside(true, binding, () => emitStep(emitter, x, state))
  emitter.push(`for (; ${next} <= ${at}; ${next}++) {\n${body}\n}`)
  const sums = new Set(state.parts.filter((p) => needsRounding(emitter, p)).map((p) => p.names[0]))
  return publish(emitter, x, state, (name) => emitter.constant(sums.has(name) ? roundText("f32", name) : name))
}

function emitComponent(emitter: Emitter, x: Component): Atom {
  emitter.emit(x.of)
  const found = emitter.known(componentKey(x.of, x.index))!
  const part = plainParts(x.of.monoid).find(({ monoid, at }) => {
    return x.index >= at && x.index < at + (monoid.kind === "argmax" || monoid.kind === "top" ? 2 : 1)
  })!
  if (part.monoid.kind !== "top") return found
  const slot = x.slot ?? literal(0)
  checkRange(emitter, slot, literal(part.monoid.k), "slot", (at, k) => `slot ${at} of ${k} ranks`)
  return ranked(found, emitter.emit(slot).value)
}
