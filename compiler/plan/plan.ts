/**
 * plan: fused programs → buffers, slots and launches.
 *
 *   entry step:  k0(token, embedding → t0)  [layer 0: k1(t0, q₀ … → t1) …] [layer 1: k1(t2, q₁ … → t3) …] …
 *
 * Units are expanded application by application: one kernel, other buffers. Scratch buffers whose lifetimes do not meet share a slot
 * (`slots.ts`); what a launch reads and writes is alive at once, so no slot is bound twice in one launch.
 */

import type { ArtifactBuffer, ArtifactEntry, ArtifactLaunch, ArtifactSlot } from "../../runtime/artifact.js"
import { WeftError } from "../../runtime/errors.js"
import { storageBytes } from "../ir/loop.js"
import { memoized } from "../ir/memoized.js"
import type { Constant } from "../ir/tensor.js"
import type { Divided, DividedCall } from "../kernel/divide-bindings.js"
import type { KernelStep } from "../kernel/fuse.js"
import type { FusedBuffer } from "../kernel/naming.js"
import { type Life, pack } from "./slots.js"

export interface PlanEntry {
  readonly name: string
  readonly program: Divided
  /** Names of the outputs, for the first results of the program. */
  readonly outputs: readonly string[]
}

export interface Plan {
  readonly buffers: readonly ArtifactBuffer[]
  readonly slots: readonly ArtifactSlot[]
  readonly entries: Readonly<Record<string, ArtifactEntry>>
  readonly constants: readonly { readonly buffer: number; readonly constant: Constant }[]
  /** The buffers of each weight by its name: one, or those of its parts in order. */
  readonly weights: ReadonlyMap<string, readonly number[]>
}

/** The number of a step's kernel, and how many workgroups it is launched with. */
export type KernelOf = (step: KernelStep) => { readonly index: number; readonly groups: number }

interface Draft {
  readonly name: string
  readonly role: ArtifactBuffer["role"]
  readonly storage: ArtifactBuffer["storage"]
  readonly shape: readonly number[]
  readonly bytes: number
  slot: number
}

export function planArtifact(entries: readonly PlanEntry[], kernelOf: KernelOf): Plan {
  const drafts = createDrafts()
  const planned = Object.fromEntries(entries.map((e) => [e.name, { launches: launchesOf(e, drafts, kernelOf) }]))
  const { buffers, constants, weights } = drafts
  const slots = buffers.flatMap((b) => (b.slot < 0 ? [] : [{ bytes: b.bytes }]))
  const lives = livesOf(Object.values(planned), buffers)
  const packing = pack([...lives.values()])
  const first = slots.length
  slots.push(...packing.slots.map((bytes) => ({ bytes })))
  for (const [i, buffer] of [...lives.keys()].entries()) buffers[buffer]!.slot = first + packing.of[i]!
  for (const b of buffers) if (b.slot < 0) b.slot = 0 // Nothing uses it.
  return { buffers, slots, entries: planned, constants, weights }
}

/** The buffers so far: those that outlive a run have slots of their own, and one name in all entries. */
function createDrafts() {
  const buffers: Draft[] = []
  const shared = new Map<string | Constant, number>()
  const constants: { buffer: number; constant: Constant }[] = []
  const weights = new Map<string, number[]>()
  let dedicated = 0
  const draft = (buffer: FusedBuffer, name: string, role: Draft["role"], own: boolean): number => {
    const elements = buffer.shape.reduce((n, s) => n * s, 1)
    const bytes = Math.max(16, Math.ceil((elements * storageBytes(buffer.storage)) / 16) * 16)
    if (!Number.isSafeInteger(bytes))
      throw new WeftError(
        "compile/too-large",
        `'${name}' of ${buffer.shape.join(" × ")} elements takes ${bytes} bytes`,
        {
          hint: "give its axes smaller extents",
        },
      )
    const slot = own ? dedicated++ : -1
    return buffers.push({ name, role, storage: buffer.storage, shape: buffer.shape, bytes, slot }) - 1
  }
  const once = (key: string | Constant, make: () => number): number => {
    const made = shared.get(key) ?? make()
    shared.set(key, made)
    return made
  }
  const constant = (value: Constant, buffer: FusedBuffer): number =>
    once(value, () => {
      const made = draft(buffer, `constant${constants.length}`, "constant", true)
      constants.push({ buffer: made, constant: value })
      return made
    })
  const input = (buffer: FusedBuffer): number =>
    once(buffer.name, () => {
      const { name, role } = buffer.input!
      const made = draft(buffer, buffer.name, role, true)
      if (role === "weight") weights.set(name, [...(weights.get(name) ?? []), made])
      return made
    })
  const output = (name: string, buffer: FusedBuffer): number =>
    once(`outputs.${name}`, () => draft(buffer, `outputs.${name}`, "output", true))
  const scratch = (name: string, buffer: FusedBuffer): number => draft(buffer, name, "scratch", false)
  return { buffers, constants, weights, constant, input, output, scratch }
}

function launchesOf(
  { name, program, outputs }: PlanEntry,
  drafts: ReturnType<typeof createDrafts>,
  kernelOf: KernelOf,
): readonly ArtifactLaunch[] {
  const launches: ArtifactLaunch[] = []
  const expand = ({ steps, buffers }: Divided, scope: Map<string, number>) => {
    const bind = memoized((buffer: string): number => {
      const b = buffers.get(buffer)!
      return b.constant === undefined ? drafts.scratch(`${name}.${buffer}`, b) : drafts.constant(b.constant, b)
    }, scope)
    const call = ({ body, args, results }: DividedCall) => {
      const inner = new Map(body.inputs.map((input, i) => [input, bind(args[i]!)] as const))
      for (const [i, outer] of results.entries()) {
        if (outer === undefined) continue
        const result = body.results[i]!
        const own = body.buffers.get(result)
        const through = inner.get(result) ?? (own?.constant && drafts.constant(own.constant, own))
        if (through !== undefined) scope.set(outer, through)
        else inner.set(result, bind(outer))
      }
      expand(body, inner)
    }
    for (const step of steps) {
      if (step.kind === "call") call(step)
      else {
        const { index, groups } = kernelOf(step)
        launches.push({ kernel: index, buffers: step.bindings.map(bind), groups })
      }
    }
  }
  const scope = new Map<string, number>()
  for (const [local, b] of program.buffers) if (b.input !== undefined) scope.set(local, drafts.input(b))
  for (const [i, output] of outputs.entries()) {
    const local = program.results[i]!
    if (!scope.has(local)) scope.set(local, drafts.output(output, program.buffers.get(local)!))
  }
  expand(program, scope)
  return launches
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
