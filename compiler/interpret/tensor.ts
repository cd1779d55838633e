/**
 * The interpreter of the tensor language: what a program means, in numbers.
 *
 *   const [y] = interpretTensor([dot(x, w)], new Map([["x", …], ["w", …]]), new Map([["seq", 3]]))
 *   y.axes   // [{ name: "seq", extent: 3 }, { name: "out", extent: 64 }]
 *
 * Pure: an `update` is a new tensor, the written past followed by the new part. f32 values are rounded after every operation but for sums, which run in
 * float64 and are rounded once: where a device differs by the order of its additions, this is the more accurate side. With `absolute`
 * arithmetic every f32 result carries a bound (scalar-bounds.ts). A program is compiled once and runs for all values of its symbols.
 */

import { WeftError } from "../../runtime/errors.js"
import { type Dim, extentAt } from "../ir/dim.js"
import { withTable } from "../ir/expression.js"
import { type DType, roundTo } from "../ir/operations.js"
import { topological } from "../ir/tensor/walk.js"
import { axisNames, type Input, type Tensor, type Unit } from "../ir/tensor.js"
import { givenBound } from "./scalar-bounds.js"
import type { Arithmetic } from "./scalar-operations.js"
import { type CompiledNest, compileNest } from "./tensor-lower.js"
import { planTensors, type Step } from "./tensor-plan.js"

/** A tensor in memory: row-major in the order of `axes`, every number a value of `dtype`. */
export interface Dense {
  readonly axes: readonly { readonly name: string; readonly extent: number }[]
  readonly dtype: DType
  readonly data: Float64Array
  /** Only with `absolute` arithmetic, and only for f32. An input without one has its absolute values. */
  readonly bound?: Float64Array
}

type Symbols = ReadonlyMap<string, number>

/**
 * The values of `roots`.
 * @param inputs by the names of the input nodes; the order of axes may differ from the node's
 * @throws WeftError `interpret/input` for a missing or unfitting input, `interpret/symbol` for a missing symbol; KernelFault for a read outside of a tensor
 */
export function interpretTensor(
  roots: readonly Tensor[],
  inputs: ReadonlyMap<string, Dense>,
  symbols: Symbols,
  arithmetic: Arithmetic = "rounded",
): Dense[] {
  return withTable(() => run(programOf(roots, roots[0]!, arithmetic), inputs, symbols, arithmetic))
}

type CompiledStep =
  | { readonly kind: "nest"; readonly nest: CompiledNest }
  | { readonly kind: "call"; readonly step: Step & { kind: "call" } }

interface Program {
  readonly roots: readonly Tensor[]
  readonly arithmetic: Arithmetic
  readonly leaves: readonly Tensor[]
  readonly steps: readonly CompiledStep[]
}

/** Compiled programs, by unit or first root. */
const programs = new WeakMap<object, Program[]>()

function programOf(roots: readonly Tensor[], owner: object | undefined, arithmetic: Arithmetic): Program {
  const known = owner === undefined ? undefined : programs.get(owner)
  const same = known?.find(
    (p) => p.arithmetic === arithmetic && p.roots.length === roots.length && p.roots.every((r, i) => r === roots[i]),
  )
  if (same !== undefined) return same
  const order = topological(roots)
  const names = new Map(order.map((t, i) => [t, t.kind === "input" ? `'${t.name}'` : `%${i} (${t.kind})`]))
  const { steps, kept } = planTensors(roots)
  const made: Program = {
    roots,
    arithmetic,
    leaves: order.filter((t) => t.kind === "input" || t.kind === "constant"),
    steps: steps.map((step) =>
      step.kind === "call"
        ? { kind: "call", step }
        : { kind: "nest", nest: compileNest(step.tensors, kept, names, arithmetic) },
    ),
  }
  if (owner !== undefined) programs.set(owner, [...(known ?? []), made])
  return made
}

function run(program: Program, inputs: ReadonlyMap<string, Dense>, symbols: Symbols, arithmetic: Arithmetic): Dense[] {
  const made = new Map<Tensor, Dense>()
  for (const t of program.leaves) made.set(t, leaf(t, inputs, symbols, arithmetic))
  for (const step of program.steps) {
    if (step.kind === "nest") {
      for (const t of step.nest.writes) made.set(t, allocate(t, symbols, arithmetic))
      const used = [...step.nest.writes, ...step.nest.reads].map((t) => made.get(t)!)
      step.nest.run(
        used.map((d) => d.data),
        used.map((d) => d.bound ?? d.data),
        step.nest.symbols.map((name) => symbol(name, symbols)),
      )
    } else {
      const { unit, args } = step.step.calls[0]!
      const results = applyUnit(
        unit,
        args.map((a) => made.get(a)!),
        symbols,
        arithmetic,
      )
      for (const call of step.step.calls) made.set(call, results[call.result]!)
    }
  }
  return program.roots.map((t) => made.get(t)!)
}

function applyUnit(unit: Unit, args: readonly Dense[], symbols: Symbols, arithmetic: Arithmetic): Dense[] {
  const inputs = new Map(unit.inputs.map((x, i) => [x.name, args[i]!]))
  return run(programOf(unit.results, unit, arithmetic), inputs, symbols, arithmetic)
}

function symbol(name: string, symbols: Symbols): number {
  const value = symbols.get(name)
  if (value === undefined) throw new WeftError("interpret/symbol", `the symbol '${name}' has no value`)
  return value
}

function leaf(t: Tensor, inputs: ReadonlyMap<string, Dense>, symbols: Symbols, arithmetic: Arithmetic): Dense {
  if (t.kind === "constant") {
    const axes = t.axes.map((a) => ({ name: a.name, extent: extent(a.extent, symbols) }))
    return bounded({ axes, dtype: t.dtype, data: t.values.map((x) => roundTo(t.dtype, x)) }, arithmetic)
  }
  const given = inputs.get((t as Input).name)
  if (given === undefined) throw new WeftError("interpret/input", `there is no input '${(t as Input).name}'`)
  return bounded(conform(given, t as Input, symbols), arithmetic)
}

function bounded(d: Dense, arithmetic: Arithmetic): Dense {
  if (arithmetic !== "absolute" || d.dtype !== "f32" || d.bound !== undefined) return d
  return { ...d, bound: d.data.map(givenBound) }
}

function extent(d: Dim, symbols: Symbols): number {
  if (d.kind === "literal") return d.value
  return d.kind === "symbol" ? symbol(d.name, symbols) : extentAt(d, symbols)
}

function allocate(t: Tensor, symbols: Symbols, arithmetic: Arithmetic): Dense {
  const axes = t.axes.map((a) => ({ name: a.name, extent: extent(a.extent, symbols) }))
  const data = new Float64Array(axes.reduce((n, a) => n * a.extent, 1))
  return arithmetic === "absolute" && t.dtype === "f32"
    ? { axes, dtype: t.dtype, data, bound: new Float64Array(data.length) }
    : { axes, dtype: t.dtype, data }
}

/** An input in the axis order of its node. */
function conform(given: Dense, t: Input, symbols: Symbols): Dense {
  const wanted = t.axes.map((a) => ({ name: a.name, extent: extent(a.extent, symbols) }))
  const text = (axes: Dense["axes"]) => `[${axes.map((a) => `${a.name} ${a.extent}`).join(", ")}]`
  const size = wanted.reduce((n, a) => n * a.extent, 1)
  const fits =
    given.dtype === t.dtype &&
    given.data.length === size &&
    given.axes.length === wanted.length &&
    wanted.every((a) => given.axes.some((b) => b.name === a.name && b.extent === a.extent))
  if (!fits)
    throw new WeftError(
      "interpret/input",
      `input '${t.name}' is ${t.dtype} ${text(wanted)} but is given ${given.dtype} ${text(given.axes)} of ${given.data.length} numbers`,
    )
  if (given.axes.every((a, i) => a.name === wanted[i]!.name)) return given
  const order = permutation(given.axes, axisNames(t))
  const data = order.map((at) => given.data[at]!)
  return given.bound === undefined
    ? { axes: wanted, dtype: given.dtype, data }
    : { axes: wanted, dtype: given.dtype, data, bound: order.map((at) => given.bound![at]!) }
}

/** For each element in the new axis order its offset in the old one. */
function permutation(axes: Dense["axes"], names: readonly string[]): Float64Array {
  const strides = axes.map((_, i) => axes.slice(i + 1).reduce((n, a) => n * a.extent, 1))
  let offsets = [0]
  for (const name of names) {
    const i = axes.findIndex((a) => a.name === name)
    offsets = offsets.flatMap((o) => Array.from({ length: axes[i]!.extent }, (_, x) => o + x * strides[i]!))
  }
  return Float64Array.from(offsets)
}
