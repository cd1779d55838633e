/**
 * Runs fused programs: the steps in order, units expanded, every kernel by a function that the law chooses.
 *
 *   const memories = run(fused, program, (kernel, buffers) => interpretKernel(kernel, buffers, symbols))
 *
 * Buffers have their full capacity. What lies behind the data of an input, and every scratch buffer before its first launch, is garbage:
 * whoever reads it will differ. States are changed in place, as on a device.
 */

import { allocateBuffer, type Memory, writeElement } from "../../compiler/interpret/memory.js"
import type { Dense } from "../../compiler/interpret/tensor.js"
import { extentAt } from "../../compiler/ir/dim.js"
import type { Kernel } from "../../compiler/ir/kernel.js"
import type { TileOptions } from "../../compiler/ir/machine.js"
import type { DType } from "../../compiler/ir/operations.js"
import type * as ir from "../../compiler/ir/tensor.js"
import { type CutLimits, defaultCutLimits } from "../../compiler/kernel/cuts.js"
import { type Fused, fuse } from "../../compiler/kernel/fuse.js"
import type { FusedBuffer } from "../../compiler/kernel/naming.js"
import { ownOutputs } from "../../compiler/tensor/own-outputs.js"
import { simplify } from "../../compiler/tensor/simplify.js"
import { scratchStorage } from "../../compiler/tensor/storage.js"
import type { Precision } from "../../runtime/artifact.js"
import { dataOf, type LawProgram, rootsOf } from "./generate.js"
import { shapeAt } from "./program.js"

export const garbage: Readonly<Record<DType, number>> = { f32: Number.NaN, i32: -1234567, u32: 3735928559, bool: 1 }

/** A buffer full of garbage. */
export function poisoned(b: Pick<FusedBuffer, "dtype" | "storage" | "shape">): Memory {
  const memory = allocateBuffer(
    b.dtype,
    b.storage,
    b.shape.reduce((n, x) => n * x, 1),
  )
  memory.values.fill(garbage[b.dtype])
  return memory
}

/** Calls `see` for each point with its offsets in the dense tensor and in memory of the given shape, and its place; along `around` elements go round. */
function eachElement(
  extents: readonly number[],
  shape: readonly number[],
  see: (dense: number, at: number, point: readonly number[]) => void,
  around = -1,
): void {
  let dense = 0
  const point: number[] = []
  const visit = (axis: number, offset: number) => {
    if (axis === extents.length) see(dense++, offset, point)
    else
      for (let i = 0; i < extents[axis]!; i++) {
        point[axis] = i
        visit(axis + 1, offset * shape[axis]! + (axis === around ? i % shape[axis]! : i))
      }
  }
  visit(0, 0)
}

const keptAxis = ({ kept, axes }: ir.Input) => axes.findIndex((a) => a.name === kept?.axis)

/** Fills the memory of an input; where it goes round, later elements take the place of earlier ones. */
export function fill(memory: Memory, data: Dense, input: ir.Input): void {
  const extents = data.axes.map((a) => a.extent)
  eachElement(extents, input.capacity, (i, at) => writeElement(memory, at, data.data[i]!), keptAxis(input))
}

/** The elements of a tensor that lies in memory of the given shape; of what a state has lost, zeros. */
export function readDense(
  values: ArrayLike<number>,
  t: ir.Tensor,
  shape: readonly number[],
  symbols: ReadonlyMap<string, number>,
  state?: ir.Input,
): number[] {
  const found: number[] = []
  const extents = shapeAt(t, symbols).map((a) => a.extent)
  const around = state === undefined ? -1 : keptAxis(state)
  const first = state?.kept === undefined ? 0 : extentAt(state.kept.first, symbols)
  const see = (_: number, at: number, point: readonly number[]) => {
    found.push(around >= 0 && point[around]! < first ? 0 : values[at]!)
  }
  eachElement(extents, shape, see, around)
  return found
}

export interface Compiled {
  readonly fused: Fused
  readonly units: (unit: ir.Unit) => Fused
}

/** Fuses a program and, when they are called for, its units. In `fast` even the shortest rows are rounded, for programs here are small. */
export function fuseProgram(
  p: LawProgram,
  cuts: CutLimits = defaultCutLimits,
  bindings = 8,
  precision: Precision = "exact",
  halves: Pick<TileOptions, "singleHalves"> = {},
): Compiled {
  const fuseAll = (results: readonly ir.Tensor[]) =>
    fuse(results, { cuts, bindings, storage: (rs) => scratchStorage(rs, precision, halves, 2) })
  const known = new Map<ir.Unit, Fused>()
  const units = (u: ir.Unit): Fused => {
    const fused = known.get(u) ?? fuseAll(u.results)
    known.set(u, fused)
    return fused
  }
  return { fused: fuseAll(rootsOf(p)), units }
}

/** The program after simplification, as the compiler fuses it. */
export function simplified(p: LawProgram): LawProgram {
  const memo: Parameters<typeof simplify>[1] = new Map()
  return {
    ...p,
    outputs: ownOutputs(simplify(p.outputs, memo)),
    updates: p.updates.map(({ state, tensor }) => ({ state, tensor: simplify([tensor], memo)[0]! })),
  }
}

export type RunKernel = (kernel: Kernel, buffers: ReadonlyMap<string, Memory>) => void

/** The memories of the program's buffers after all steps. */
export function execute({ fused, units }: Compiled, p: LawProgram, run: RunKernel): Map<string, Memory> {
  const memories = new Map<string, Memory>()
  for (const input of p.inputs) {
    const memory = poisoned({ dtype: input.dtype, storage: input.storage, shape: input.capacity })
    fill(memory, dataOf(p, input), input)
    memories.set(input.name, memory)
  }
  steps(fused, memories, units, run)
  return memories
}

function memoryOf(name: string, fused: Fused, scope: Map<string, Memory>): Memory {
  const known = scope.get(name)
  if (known !== undefined) return known
  const buffer = fused.buffers.get(name)
  if (buffer === undefined) throw new Error(`there is no buffer '${name}'`)
  const made = poisoned(buffer)
  buffer.constant?.values.forEach((x, i) => {
    writeElement(made, i, x)
  })
  scope.set(name, made)
  return made
}

function steps(fused: Fused, scope: Map<string, Memory>, units: Compiled["units"], run: RunKernel): void {
  for (const step of fused.steps) {
    if (step.kind === "kernel") {
      const bound = step.kernel.buffers.map((b, i) => [b.name, memoryOf(step.bindings[i]!, fused, scope)] as const)
      run(step.kernel, new Map(bound))
      continue
    }
    const inner = units(step.unit)
    const innerScope = new Map(step.unit.inputs.map((x, i) => [x.name, memoryOf(step.args[i]!, fused, scope)]))
    steps(inner, innerScope, units, run)
    step.results.forEach((outer, i) => {
      if (outer !== undefined) scope.set(outer, memoryOf(inner.results[i]!, inner, innerScope))
    })
  }
}

/** The values of outputs and states after a run, in the order of `rootsOf`. */
export function found(p: LawProgram, { fused }: Compiled, memories: Map<string, Memory>): number[][] {
  const outputs = p.outputs.map((t, i) => {
    const name = fused.results[i]!
    const { shape } = fused.buffers.get(name)!
    return readDense(memoryOf(name, fused, memories).values, t, shape, p.values)
  })
  const states = p.updates.map(({ state, tensor }) =>
    readDense(memories.get(state.name)!.values, tensor, state.capacity, p.values, state),
  )
  return [...outputs, ...states]
}
