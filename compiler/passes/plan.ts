/**
 * plan: fused programs → buffers, slots and launches.
 *
 *   entry step:  k0(token, embedding → t0)  [layer 0: k1(t0, q₀ … → t1) …] [layer 1: k1(t2, q₁ … → t3) …] …
 *
 * Units are expanded application by application: one kernel, other buffers. Scratch buffers whose lifetimes do not meet share a slot
 * (`slots.ts`); what a launch reads and writes is alive at once, so no slot is bound twice in one launch.
 */
import type { ArtifactBuffer, ArtifactEntry, ArtifactLaunch, ArtifactSlot } from "../../runtime/artifact.js"
import type { Kernel } from "../ir/kernel.js"
import { storageBytes } from "../ir/loop.js"
import type { Constant, Unit } from "../ir/tensor.js"
import type { Fused, FusedBuffer, KernelStep } from "./fuse.js"
import { type Parts, partsOf } from "./parts.js"
import { type Piece, shard } from "./shard.js"
import { type Life, pack } from "./slots.js"

export interface PlanEntry {
  readonly name: string
  readonly fused: Fused
  /** Names of the outputs, for the first results of `fused`. */
  readonly outputs: readonly string[]
}

export interface Plan {
  readonly buffers: readonly ArtifactBuffer[]
  readonly slots: readonly ArtifactSlot[]
  readonly entries: Readonly<Record<string, ArtifactEntry>>
  readonly constants: readonly { readonly buffer: number; readonly constant: Constant }[]
  /** The buffers of each weight by its name: one, or those of its parts in order. */
  readonly weights: ReadonlyMap<string, readonly number[]>
  /** What a step is launched as: its kernel, or those over parts of what it binds. */
  readonly launched: ReadonlyMap<KernelStep, readonly Launched[]>
}

/** A kernel by its number, and what its buffers are called where the step stands. */
export interface Launched {
  readonly kernel: number
  readonly bindings: readonly string[]
}

export interface PlanContext {
  readonly unit: (unit: Unit) => Fused
  /** The number of a kernel and its launch size. */
  readonly kernel: (kernel: Kernel) => { readonly index: number; readonly groups: number }
  /** What one kernel may bind; weights that are larger lie in parts. No limits when left out. */
  readonly limits?: { readonly bindings: number; readonly bindingBytes: number }
}

type Placed = Piece & ReturnType<PlanContext["kernel"]>

interface Draft {
  readonly name: string
  readonly role: ArtifactBuffer["role"]
  readonly storage: ArtifactBuffer["storage"]
  readonly shape: readonly number[]
  readonly bytes: number
  slot: number
}

export function planArtifact(entries: readonly PlanEntry[], context: PlanContext): Plan {
  const drafts: Draft[] = []
  const slots: { bytes: number }[] = []
  const shared = new Map<string | Constant, number>()
  const constants: { buffer: number; constant: Constant }[] = []
  const weights = new Map<string, readonly number[]>()
  /** The parts of a buffer by the number of its first one, which stands for it. */
  const divided = new Map<number, Parts & { readonly numbers: readonly number[] }>()

  const draft = (buffer: FusedBuffer, name: string, role: Draft["role"], dedicated: boolean): number => {
    const elements = buffer.shape.reduce((n, s) => n * s, 1)
    const bytes = Math.max(16, Math.ceil((elements * storageBytes(buffer.storage)) / 16) * 16)
    if (!Number.isSafeInteger(bytes)) throw new Error(`buffer '${name}' has too many elements`)
    const slot = dedicated ? slots.push({ bytes }) - 1 : -1
    return drafts.push({ name, role, storage: buffer.storage, shape: buffer.shape, bytes, slot }) - 1
  }
  const persistent = (key: string | Constant, buffer: FusedBuffer, name: string, role: Draft["role"]): number => {
    const known = shared.get(key)
    if (known !== undefined) return known
    const parts = role === "weight" && context.limits ? partsOf(buffer, context.limits.bindingBytes) : undefined
    const shapes = parts === undefined ? [buffer.shape] : shapesOf(buffer.shape, parts)
    const numbers = shapes.map((shape, i) =>
      draft({ ...buffer, shape }, parts === undefined ? name : `${name}/${i}`, role, true),
    )
    const made = numbers[0]!
    if (parts !== undefined) divided.set(made, { ...parts, numbers })
    if (role === "weight") weights.set(name, numbers)
    shared.set(key, made)
    if (typeof key !== "string") constants.push({ buffer: made, constant: key })
    return made
  }
  const placed = new Map<KernelStep, Map<string, readonly Placed[]>>()
  /** A step over the buffers that it binds: itself, or kernels over parts of them. The same for each application of a unit. */
  const piecesOf = (step: KernelStep, buffers: readonly number[]): readonly Placed[] => {
    const { kernel } = step
    const key = buffers.map((b) => divided.get(b)?.rows ?? "").join()
    const known = placed.get(step)?.get(key)
    if (known !== undefined) return known
    const parts = new Map(
      buffers.flatMap((b, i) => (divided.has(b) ? [[kernel.buffers[i]!.name, divided.get(b)!]] : [])),
    )
    const whole = { kernel, bindings: buffers.map((_, binding) => ({ binding, part: 0 })) }
    const pieces = parts.size > 0 ? shard(kernel, parts, context.limits!.bindings) : [whole]
    const made = pieces.map((piece) => ({ ...piece, ...context.kernel(piece.kernel) }))
    placed.set(step, (placed.get(step) ?? new Map()).set(key, made))
    return made
  }

  const launched = new Map<KernelStep, readonly Launched[]>()
  const planned: Record<string, ArtifactEntry> = {}
  for (const { name, fused, outputs } of entries) {
    const launches: ArtifactLaunch[] = []
    const expand = (program: Fused, scope: Map<string, number>) => {
      const bind = (buffer: string): number => {
        const known = scope.get(buffer)
        if (known !== undefined) return known
        const b = program.buffers.get(buffer)!
        const made =
          b.constant !== undefined
            ? persistent(b.constant, b, `constant${constants.length}`, "constant")
            : draft(b, `${name}.${buffer}`, "scratch", false)
        scope.set(buffer, made)
        return made
      }
      for (const step of program.steps) {
        if (step.kind === "kernel") {
          const buffers = step.bindings.map(bind)
          const pieces = piecesOf(step, buffers)
          launched.set(
            step,
            pieces.map(({ index, bindings }) => ({
              kernel: index,
              bindings: bindings.map(({ binding, part }) =>
                divided.has(buffers[binding]!) ? `${step.bindings[binding]}/${part}` : step.bindings[binding]!,
              ),
            })),
          )
          for (const { bindings, index, groups } of pieces) {
            const at = ({ binding, part }: Piece["bindings"][number]) =>
              divided.get(buffers[binding]!)?.numbers[part] ?? buffers[binding]!
            launches.push({ kernel: index, buffers: bindings.map(at), groups })
          }
          continue
        }
        const inner = context.unit(step.unit)
        const innerScope = new Map(step.unit.inputs.map((input, i) => [input.name, bind(step.args[i]!)] as const))
        for (const [i, outer] of step.results.entries()) {
          if (outer === undefined) continue
          const result = inner.results[i]!
          const constant = inner.buffers.get(result)?.constant
          const through =
            innerScope.get(result) ??
            (constant && persistent(constant, inner.buffers.get(result)!, `constant${constants.length}`, "constant"))
          if (through !== undefined) scope.set(outer, through)
          else innerScope.set(result, bind(outer))
        }
        expand(inner, innerScope)
      }
    }
    const scope = new Map<string, number>()
    for (const [local, b] of fused.buffers)
      if (b.input !== undefined) scope.set(local, persistent(b.input.name, b, b.input.name, b.input.role))
    for (const [i, output] of outputs.entries()) {
      const local = fused.results[i]!
      if (!scope.has(local))
        scope.set(local, persistent(`outputs.${output}`, fused.buffers.get(local)!, `outputs.${output}`, "output"))
    }
    expand(fused, scope)
    planned[name] = { launches }
  }
  const lives = livesOf(Object.values(planned), drafts)
  const packing = pack([...lives.values()])
  const first = slots.length
  slots.push(...packing.slots.map((bytes) => ({ bytes })))
  for (const [i, buffer] of [...lives.keys()].entries()) drafts[buffer]!.slot = first + packing.of[i]!
  for (const d of drafts) if (d.slot < 0) d.slot = 0 // Nothing uses it.
  return { buffers: drafts, slots, entries: planned, constants, weights, launched }
}

const shapesOf = ([extent, ...inner]: readonly number[], { rows, count }: Parts): readonly (readonly number[])[] =>
  Array.from({ length: count }, (_, i) => [Math.min(rows, extent! - i * rows), ...inner])

/** The scratch buffers that are used, each with the launches from its first use to its last; entries follow each other. */
export function livesOf(
  entries: readonly ArtifactEntry[],
  buffers: readonly Pick<ArtifactBuffer, "role" | "bytes">[],
): ReadonlyMap<number, Life> {
  const lives = new Map<number, { readonly bytes: number; readonly first: number; last: number }>()
  for (const [at, launch] of entries.flatMap((e) => e.launches).entries())
    for (const b of launch.buffers) {
      const { role, bytes } = buffers[b]!
      if (role !== "scratch") continue
      const life = lives.get(b)
      if (life === undefined) lives.set(b, { bytes, first: at, last: at })
      else life.last = at
    }
  return lives
}
