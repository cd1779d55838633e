/**
 * Compiles a random program as compile.ts does it and runs its plan on byte slots, with garbage wherever no live buffer lies.
 */

import { compileKernels } from "../../compiler/compile-kernels.js"
import { interpretLoop } from "../../compiler/interpret/loop.js"
import { allocateBuffer, fromBytes, type Memory, toBytes } from "../../compiler/interpret/memory.js"
import type { Kernel } from "../../compiler/ir/kernel.js"
import { type LoopKernel, storageBytes } from "../../compiler/ir/loop.js"
import type { Input, Tensor } from "../../compiler/ir/tensor.js"
import { createDivider, kernelSteps } from "../../compiler/kernel/divide-bindings.js"
import { fuse } from "../../compiler/kernel/fuse.js"
import { type Plan, planArtifact } from "../../compiler/plan/plan.js"
import { cudaTarget, wasmTarget, webgpuTarget } from "../../compiler/targets/target.js"
import { fill, poisoned, readDense, simplified } from "./execute.js"
import { dataOf, type LawProgram } from "./generate.js"

export interface Planned {
  readonly plan: Plan
  readonly kernels: readonly { readonly kernel: Kernel; readonly loops: LoopKernel }[]
}

/** Changes a plan, to see whether the law notices. */
export type PlanFault = (plan: Plan) => void

const targets = { wasm: wasmTarget, webgpu: webgpuTarget, cuda: cudaTarget }

export function compile(p: LawProgram, targetName: keyof typeof targets): Planned {
  const target = targets[targetName]
  const fused = (results: readonly Tensor[]) => fuse(results, { bindings: target.bindings })
  const divided = createDivider((unit) => fused(unit.results))
  const simple = simplified(p)
  const entry = (name: string, prefix: string, outputs: readonly Tensor[]) => ({
    name,
    program: divided(fused([...outputs, ...simple.updates.map((u) => u.tensor)])),
    outputs: outputs.map((_, i) => `${prefix}${i}`),
  })
  const entries = [entry("step", "y", simple.outputs), entry("again", "z", [...simple.outputs].reverse())]
  const steps = entries.flatMap((e) => [...kernelSteps(e.program).keys()])
  const { kernels, numberOf } = compileKernels(steps, target, { verify: true })
  const plan = planArtifact(entries, (step) => {
    const index = numberOf(step)
    return { index, groups: kernels[index]!.loops.groups }
  })
  return { plan, kernels }
}

/** The outputs and states after each entry, in the order of `rootsOf`. */
export function runPlan(p: LawProgram, planned: Planned): readonly (readonly number[][])[] {
  const { plan } = planned
  const slots = plan.slots.map((s) => new Uint8Array(s.bytes).fill(0xff))
  const number = new Map(plan.buffers.map((b, i) => [b.name, i] as const))
  const bytes = (buffer: number) => slots[plan.buffers[buffer]!.slot]!
  for (const { buffer, constant } of plan.constants) {
    const memory = allocateBuffer(constant.dtype, constant.dtype, constant.values.length)
    memory.values.set(constant.values)
    bytes(buffer).set(toBytes(memory))
  }
  const read = (name: string, t: Tensor, symbols: ReadonlyMap<string, number>, state?: Input) => {
    const at = number.get(name)
    if (at === undefined) throw new Error(`the plan has no buffer '${name}'`)
    const { storage, shape } = plan.buffers[at]!
    const count = shape.reduce((n, x) => n * x, 1)
    return readDense(
      fromBytes(storage, bytes(at).subarray(0, count * storageBytes(storage))).values,
      t,
      shape,
      symbols,
      state,
    )
  }
  const states = () => p.updates.map(({ state, tensor }) => read(state.name, tensor, p.values, state))
  return (["step", "again"] as const).map((entry) => {
    // Both entries start from the same states.
    for (const input of p.inputs) {
      const at = number.get(input.name)
      if (at === undefined) continue
      const memory = poisoned({ dtype: input.dtype, storage: input.storage, shape: input.capacity })
      fill(memory, dataOf(p, input), input)
      bytes(at).set(toBytes(memory))
    }
    launch(p, planned, slots, entry)
    const name = (i: number) => (entry === "step" ? `outputs.y${i}` : `outputs.z${p.outputs.length - 1 - i}`)
    return [...p.outputs.map((t, i) => read(name(i), t, p.values)), ...states()]
  })
}

/** Runs the launches of an entry, with garbage where no buffer lives. */
function launch(p: LawProgram, { plan, kernels }: Planned, slots: readonly Uint8Array[], entry: string): void {
  const { launches } = plan.entries[entry]!
  const lives = lifetimes(launches)
  for (const [at, { kernel: index, buffers }] of launches.entries()) {
    poison(plan, slots, lives, at)
    const { kernel, loops } = kernels[index]!
    const slot = (i: number) => slots[plan.buffers[buffers[i]!]!.slot]!
    const memories = new Map<string, Memory>()
    for (const [i, b] of kernel.buffers.entries()) {
      const count = b.shape.reduce((n, x) => n * x, 1)
      memories.set(b.name, fromBytes(b.storage, slot(i).subarray(0, count * storageBytes(b.storage))))
    }
    interpretLoop(loops, memories, p.values, { trustWriteBuffers: true, seed: at + 1 })
    for (const [i, b] of loops.buffers.entries()) if (b.access !== "read") slot(i).set(toBytes(memories.get(b.name)!))
  }
}

/** First and last launch of each buffer. */
function lifetimes(
  launches: readonly { readonly buffers: readonly number[] }[],
): ReadonlyMap<number, { first: number; last: number }> {
  const lives = new Map<number, { first: number; last: number }>()
  for (const [at, { buffers }] of launches.entries())
    for (const b of buffers) {
      const life = lives.get(b)
      if (life === undefined) lives.set(b, { first: at, last: at })
      else life.last = at
    }
  return lives
}

/** Garbage in the scratch slots in which no buffer lives across this launch's start. */
function poison(plan: Plan, slots: readonly Uint8Array[], lives: ReturnType<typeof lifetimes>, at: number): void {
  const held = new Set<number>()
  for (const [i, b] of plan.buffers.entries()) {
    const life = lives.get(i)
    if (b.role !== "scratch" || (life !== undefined && life.first < at && life.last >= at)) held.add(b.slot)
  }
  for (const [slot, bytes] of slots.entries()) if (!held.has(slot)) bytes.fill(0xff)
}
