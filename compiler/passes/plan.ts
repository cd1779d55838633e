/**
 * plan: fused programs → buffers, slots and launches.
 *
 *   entry step:  k0(token, embedding → t0)  [layer 0: k1(t0, q₀ … → t1) …] [layer 1: k1(t2, q₁ … → t3) …] …
 *
 * Units are expanded application by application: one kernel, other buffers. Scratch buffers whose lifetimes do not meet share a slot; what a
 * launch reads and writes is alive at once, so no slot is bound twice in one launch.
 */
import type { ArtifactBuffer, ArtifactEntry, ArtifactLaunch, ArtifactSlot } from "../../runtime/artifact.js"
import { storageBytes } from "../ir/loop.js"
import type { Constant, Unit } from "../ir/tensor.js"
import type { Fused, FusedBuffer, KernelStep } from "./fuse.js"

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
    placeScratch(launches, drafts, slots)
    planned[name] = { launches }
  }
  const used = new Set(Object.values(planned).flatMap((e) => e.launches.flatMap((l) => l.buffers)))
  for (const [i, d] of drafts.entries()) if (d.slot < 0 && !used.has(i)) d.slot = 0
  return { buffers: drafts, slots, entries: planned, constants }
}

/** Gives the scratch buffers of one entry their slots; slots may be shared with other entries, which run at other times. */
function placeScratch(launches: readonly ArtifactLaunch[], drafts: readonly Draft[], slots: { bytes: number }[]): void {
  const lives = new Map<number, { first: number; last: number }>()
  for (const [at, launch] of launches.entries())
    for (const b of launch.buffers) {
      if (drafts[b]!.role !== "scratch" || drafts[b]!.slot >= 0) continue
      const life = lives.get(b)
      if (life === undefined) lives.set(b, { first: at, last: at })
      else life.last = at
    }
  const scratchSlots = new Set(drafts.filter((d) => d.role === "scratch" && d.slot >= 0).map((d) => d.slot))
  const busyUntil = new Map<number, number>([...scratchSlots].map((s) => [s, -1]))
  for (const [b, life] of [...lives].sort((x, y) => x[1].first - y[1].first)) {
    const { bytes } = drafts[b]!
    const free = [...busyUntil].filter(([, until]) => until < life.first).map(([s]) => s)
    // The smallest free slot that is large enough, else the largest free one, grown.
    const enough = free.filter((s) => slots[s]!.bytes >= bytes).sort((p, q) => slots[p]!.bytes - slots[q]!.bytes)[0]
    const largest = free.sort((p, q) => slots[q]!.bytes - slots[p]!.bytes)[0]
    const slot = enough ?? largest ?? slots.push({ bytes }) - 1
    slots[slot]!.bytes = Math.max(slots[slot]!.bytes, bytes)
    busyUntil.set(slot, life.last)
    drafts[b]!.slot = slot
  }
}
