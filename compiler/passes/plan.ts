/**
 * plan: fused programs → buffers, slots and launches.
 *
 *   entry step:  k0(token, embedding → t0)  [layer 0: k1(t0, q₀ … → t1) …] [layer 1: k1(t2, q₁ … → t3) …] …
 *
 * Units are expanded application by application: one kernel, other buffers. Scratch buffers whose lifetimes do not meet share a slot
 * (`slots.ts`); what a launch reads and writes is alive at once, so no slot is bound twice in one launch.
 */
import type { ArtifactBuffer, ArtifactEntry, ArtifactLaunch, ArtifactSlot } from "../../runtime/artifact.js"
import { storageBytes } from "../ir/loop.js"
import type { Constant, Unit } from "../ir/tensor.js"
import type { Fused, FusedBuffer, KernelStep } from "./fuse.js"
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
}

export interface PlanContext {
  readonly unit: (unit: Unit) => Fused
  /** The number of a kernel and its launch size. */
  readonly kernel: (step: KernelStep) => { readonly index: number; readonly groups: number }
}

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
    const made = draft(buffer, name, role, true)
    shared.set(key, made)
    if (typeof key !== "string") constants.push({ buffer: made, constant: key })
    return made
  }

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
          const { index, groups } = context.kernel(step)
          launches.push({ kernel: index, buffers: step.bindings.map(bind), groups })
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
  return { buffers: drafts, slots, entries: planned, constants }
}

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
