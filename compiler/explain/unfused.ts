/**
 * What a tensor program asks for, whatever is fused: each tensor computed exactly once, each element of the weights and states read once.
 *
 *   sum over embed of map $0 · $1 (x [seq 1, embed 64], w [embed 64, out 256])     2 · 64 · 256 operations, w whole
 *   gather table [row 1000, embed 64] at row = index [seq 1]                       no operation, one row of the table
 *
 * Kernels are measured against it: more operations are arithmetic that fusion repeats, more bytes are intermediates that are written and
 * read again. Operations count as in operations.ts.
 */

import { literalExtent } from "../ir/dim.js"
import { walk } from "../ir/expression.js"
import { storageBytes } from "../ir/loop.js"
import type { Expression } from "../ir/nodes.js"
import { planesOf } from "../ir/tensor/planes.js"
import { homeOf, sources, topological } from "../ir/tensor/walk.js"
import type { Axis, Call, Input, Tensor, Unit } from "../ir/tensor.js"
import { binnedElement } from "../tile/bins/find.js"
import { combineOperations, isProduct } from "./operations.js"
import { rangeOf } from "./ranges.js"

type Sizes = ReadonlyMap<string, number>

const extentOf = ({ extent }: Axis, sizes: Sizes): number =>
  Math.max(0, rangeOf(extent, { sizes, variables: new Map() }).high)

const elementsOf = (axes: readonly Axis[], sizes: Sizes): number =>
  axes.reduce((n, axis) => n * extentOf(axis, sizes), 1)

/**
 * Operations of a program in which each tensor is computed once; or those of its sums of products, which matrix units do: of all, or of those where
 * one of what is multiplied is stored as halves.
 */
export function unfusedOperations(
  results: readonly Tensor[],
  sizes: Sizes,
  counted: "all" | "products" | "products of halves" = "all",
): number {
  const units = new Map<Unit, number>()
  const program = (roots: readonly Tensor[]): number => {
    const folds: Tensor[] = []
    const inUnits = applications(roots).reduce((sum, { unit }) => sum + ofUnit(unit), 0)
    return topological(roots).reduce((sum, t) => {
      // The components of one fold are computed together.
      if (t.kind === "reduce" && folds.some((f) => sameFold(f, t))) return sum
      if (t.kind === "reduce") folds.push(t)
      return sum + (counted === "all" ? own(t) : productsOf(t, sizes, counted === "products of halves"))
    }, inUnits)
  }
  const ofUnit = (unit: Unit): number => {
    const known = units.get(unit) ?? program(unit.results)
    units.set(unit, known)
    return known
  }
  const own = (t: Tensor): number => {
    switch (t.kind) {
      case "map":
        return elementsOf(withoutBins(t.axes, t), sizes) * operationsIn(t.body)
      case "reduce": {
        const axis = t.args.flatMap((a) => a.axes).find((a) => a.name === t.axis)!
        const kept = withoutBins(t.axes, t.args[0]!).filter((a) => a.name !== t.slot)
        return elementsOf([...kept, axis], sizes) * combineOperations(t.monoid)
      }
      case "scan":
        return elementsOf(t.axes, sizes) * combineOperations(t.monoid)
      case "iota":
        return literalExtent(t.start) === 0 ? 0 : elementsOf(t.axes, sizes)
      case "reindex":
        return t.valid === undefined ? 0 : elementsOf(t.axes, sizes) * (1 + operationsIn(t.valid))
      case "input":
      case "constant":
      case "gather":
      case "update":
      case "call":
        return 0
      default:
        return t satisfies never
    }
  }
  return program(results)
}

function productsOf(t: Tensor, sizes: Sizes, ofHalves: boolean): number {
  if (t.kind !== "reduce") return 0
  const axis = t.args.flatMap((a) => a.axes).find((a) => a.name === t.axis)!
  const elements = elementsOf([...t.axes, axis], sizes)
  if (t.monoid.kind === "online") return ofHalves ? 0 : 2 * t.monoid.channels * elements
  const [lift] = t.args
  if (ofHalves && !(lift?.kind === "map" && lift.args.some(isOfHalves))) return 0
  return t.monoid.kind === "sum" && lift?.kind === "map" && isProduct(lift.body) ? 2 * elements : 0
}

/** Whether a tensor is read from memory that holds halves, in whichever order. */
function isOfHalves(t: Tensor): boolean {
  if (t.kind === "reindex" || t.kind === "gather") return isOfHalves(t.arg)
  return homeOf(t)?.storage === "bf16"
}

/** The axes without that at one place of which each element of a map counts: others are 0 there, and need not be computed. */
function withoutBins(axes: readonly Axis[], of: Tensor): readonly Axis[] {
  if (of.kind !== "map") return axes
  const bins = of.args.flatMap((a, i) =>
    a.kind === "iota" && literalExtent(a.start) === 0 && binnedElement(of.body, `$${i}`) !== undefined ? a.axes : [],
  )
  return axes.filter((a) => bins[0]?.name !== a.name)
}

const sameFold = (a: Tensor, b: Tensor): boolean =>
  a.kind === "reduce" &&
  b.kind === "reduce" &&
  a.axis === b.axis &&
  a.slot === b.slot &&
  a.monoid.kind === b.monoid.kind &&
  a.args.length === b.args.length &&
  a.args.every((x, i) => x === b.args[i])

function operationsIn(body: Expression): number {
  let n = 0
  walk(body, (x) => {
    if (x.kind === "operation") n++
  })
  return n
}

/** One call for each application of a unit: the results of an application are calls of their own. */
export function applications(roots: readonly Tensor[]): readonly Call[] {
  const found: Call[] = []
  for (const t of topological(roots))
    if (t.kind === "call" && !found.some((c) => c.unit === t.unit && c.args.every((a, i) => a === t.args[i])))
      found.push(t)
  return found
}

/**
 * Bytes of weights and states when each element that the program asks for is read once. A weight that is only gathered from counts with as
 * many rows as there are indices.
 */
export function floorBytes(results: readonly Tensor[], sizes: Sizes): number {
  const read = new Map<Input, number>()
  /** `outer`: the inputs of the whole program behind those of a unit. */
  const program = (roots: readonly Tensor[], outer: (input: Input) => Input | undefined): void => {
    const origin = (t: Tensor) => {
      const home = homeOf(t)
      return home && outer(home)
    }
    for (const t of topological(roots)) {
      if (t.kind === "call") continue
      for (const s of t.kind === "update" ? [t.value] : sources(t)) {
        const input = origin(s)
        if (input === undefined || input.role === "input") continue
        read.set(input, Math.max(read.get(input) ?? 0, asked(t, s)))
      }
    }
    for (const { unit, args } of applications(roots))
      program(unit.results, (input) => origin(args[unit.inputs.indexOf(input)]!))
  }
  const asked = (t: Tensor, s: Tensor): number => {
    const whole = elementsOf(s.axes, sizes)
    if (t.kind === "reindex") return Math.min(whole, elementsOf(t.axes, sizes))
    if (t.kind !== "gather" || s !== t.arg) return whole
    const rows = extentOf(s.axes.find((a) => a.name === t.axis)!, sizes)
    return (whole / Math.max(1, rows)) * Math.min(rows, elementsOf(t.index.axes, sizes))
  }
  program(results, (input) => input)
  return [...read].reduce((sum, [input, elements]) => sum + elements * elementBytes(input), 0)
}

/** Bytes of an element in memory; of one in a format, its share of what the planes take. */
function elementBytes(input: Input): number {
  const volume = ({ capacity }: Input) => capacity.reduce((n, extent) => n * extent, 1)
  const bytes = planesOf(input).reduce((n, plane) => n + volume(plane) * storageBytes(plane.storage), 0)
  return input.packed === undefined ? storageBytes(input.storage) : bytes / volume(input)
}

/** Whether a program, or a unit in it, picks members of a weight by indices that it computes. */
export function gathersWeights(results: readonly Tensor[]): boolean {
  return topological(results).some((t) => {
    if (t.kind === "call") return gathersWeights(t.unit.results)
    return t.kind === "gather" && isOfWeights(t.arg) && t.index.kind !== "input" && !isOfWeights(t.index)
  })
}

/** Whether a tensor is a weight, or what one decodes to. */
function isOfWeights(t: Tensor): boolean {
  if (t.kind === "map") return t.args.some(isOfWeights)
  return t.kind === "reindex" ? isOfWeights(t.arg) : homeOf(t)?.role === "weight"
}
