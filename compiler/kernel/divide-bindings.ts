/**
 * divide-bindings: fused programs → fused programs of which each kernel binds what a device grants. Weights larger than a binding lie in parts.
 *
 *   limit: 2 rows of w[5, k]
 *   entry: k0(x, w → y)  layer(y, w → z)     →   entry: k0(x, w/0, w/1, w/2 → y)  layer′(y, w/0, w/1, w/2 → z)
 *
 * Units are divided once for each way in which their inputs are divided. Calls hold the program that they run: what follows needs no unit.
 */
import type { BindingLimits } from "../ir/machine.js"
import type { Unit } from "../ir/tensor.js"
import { type BindingParts, partName, partsOf } from "./binding-parts.js"
import { divideKernel } from "./divide-kernel.js"
import type { Fused, KernelStep, Step } from "./fuse.js"
import type { FusedBuffer } from "./naming.js"

export interface DividedCall {
  readonly kind: "call"
  readonly unit: Unit
  readonly body: Divided
  /** `args[i]` stands for input i of the body, `results[i]` for its result i (undefined: nobody reads it). */
  readonly args: readonly string[]
  readonly results: readonly (string | undefined)[]
}

/** A program whose kernels are launched as they are. */
export interface Divided {
  readonly steps: readonly (KernelStep | DividedCall)[]
  readonly buffers: ReadonlyMap<string, FusedBuffer>
  /** The buffers of a unit's inputs, in order; an entry has none. */
  readonly inputs: readonly string[]
  /** The buffer of each result, in order. */
  readonly results: readonly string[]
}

type Division = ReadonlyMap<string, BindingParts>

/** What several programs share as they are divided: units, each fused once, and kernels. */
interface Divider {
  readonly fuseUnit: (unit: Unit) => Fused
  readonly limits: BindingLimits | undefined
  readonly fused: Map<Unit, Fused>
  readonly units: Map<Unit, Map<string, Divided>>
  readonly kernels: Map<KernelStep, Map<string, readonly KernelStep[]>>
}

/** Divides programs that may share units, each of which is fused once. `limits`: none when left out. */
export function createDivider(fuseUnit: (unit: Unit) => Fused, limits?: BindingLimits): (entry: Fused) => Divided {
  const divider: Divider = { fuseUnit, limits, fused: new Map(), units: new Map(), kernels: new Map() }
  return (entry) => {
    const weights = [...entry.buffers].flatMap(([name, b]) => {
      const parts = limits && b.input?.role === "weight" ? partsOf(b, limits.bindingBytes) : undefined
      return parts === undefined ? [] : [[name, parts] as const]
    })
    return divided(divider, entry, new Map(weights), [])
  }
}

function unitOf(divider: Divider, unit: Unit): Fused {
  const made = divider.fused.get(unit) ?? divider.fuseUnit(unit)
  divider.fused.set(unit, made)
  return made
}

function bodyOf(divider: Divider, unit: Unit, division: Division): Divided {
  const known = divider.units.get(unit) ?? new Map<string, Divided>()
  divider.units.set(unit, known)
  const names = unit.inputs.map((i) => i.name)
  const key = keyOf(names, division)
  const made = known.get(key) ?? divided(divider, unitOf(divider, unit), division, namesOf(names, division))
  known.set(key, made)
  return made
}

/** A step over what it binds: itself, or kernels over parts of it. */
function piecesOf(divider: Divider, step: KernelStep, division: Division): readonly KernelStep[] {
  const of = step.bindings.flatMap((b, i) =>
    division.has(b) ? [[step.kernel.buffers[i]!.name, division.get(b)!] as const] : [],
  )
  if (of.length === 0) return [step]
  const known = divider.kernels.get(step) ?? new Map<string, readonly KernelStep[]>()
  divider.kernels.set(step, known)
  const key = keyOf(step.bindings, division)
  const made =
    known.get(key) ??
    divideKernel(step.kernel, new Map(of), divider.limits!.bindings).map(({ kernel, bindings }): KernelStep => {
      const names = bindings.map(({ binding, part }) => {
        const name = step.bindings[binding]!
        return division.has(name) ? partName(name, part) : name
      })
      return { ...step, kernel, bindings: names }
    })
  known.set(key, made)
  return made
}

function divided(divider: Divider, program: Fused, given: Division, inputs: readonly string[]): Divided {
  const division = new Map(given)
  const stepsOf = (step: Step): readonly (KernelStep | DividedCall)[] => {
    if (step.kind === "kernel") return piecesOf(divider, step, division)
    const inner = new Map(
      step.unit.inputs.flatMap(({ name }, i) => {
        const parts = division.get(step.args[i]!)
        return parts === undefined ? [] : [[name, parts] as const]
      }),
    )
    const body = bodyOf(divider, step.unit, inner)
    const results = step.results.flatMap((name, i) => {
      // What a unit hands on lies where it has been given.
      const parts = inner.get(unitOf(divider, step.unit).results[i]!)
      if (parts === undefined) return [name]
      if (name !== undefined) division.set(name, parts)
      return Array.from({ length: parts.count }, (_, part) => name && partName(name, part))
    })
    return [{ kind: "call", unit: step.unit, body, args: namesOf(step.args, division), results }]
  }
  const steps = program.steps.flatMap(stepsOf)
  const buffers = new Map([...program.buffers].flatMap(([name, b]) => partsIn(name, b, division.get(name))))
  return { steps, buffers, inputs, results: namesOf(program.results, division) }
}

const keyOf = (names: readonly string[], division: Division): string =>
  names.map((name) => division.get(name)?.rows ?? "").join()

/** The names of buffers, those in parts by the names of their parts. */
const namesOf = (names: readonly string[], division: Division): readonly string[] =>
  names.flatMap((name) => {
    const parts = division.get(name)
    return parts === undefined ? [name] : Array.from({ length: parts.count }, (_, i) => partName(name, i))
  })

function partsIn(
  name: string,
  buffer: FusedBuffer,
  parts: BindingParts | undefined,
): readonly (readonly [string, FusedBuffer])[] {
  if (parts === undefined) return [[name, buffer]]
  const [extent = 1, ...inner] = buffer.shape
  return Array.from({ length: parts.count }, (_, part) => {
    const shape = [Math.min(parts.rows, extent - part * parts.rows), ...inner]
    return [partName(name, part), { ...buffer, name: partName(name, part), shape }]
  })
}

/** The kernel steps of a program in the order of their first launch, with the number of times that each runs. */
export function kernelSteps(program: Divided): ReadonlyMap<KernelStep, number> {
  const times = new Map<KernelStep, number>()
  for (const step of program.steps) {
    const inner = step.kind === "kernel" ? new Map([[step, 1]]) : kernelSteps(step.body)
    for (const [kernel, n] of inner) times.set(kernel, (times.get(kernel) ?? 0) + n)
  }
  return times
}
