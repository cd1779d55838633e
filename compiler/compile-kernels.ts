/**
 * The distinct kernels of an artifact, each with its schedule and its loops: equal kernels are compiled once.
 *
 *   kernel  ──  a schedule that was measured, or that heuristics choose  ──▶  tile  ──▶  the target's passes over loops
 */
import { WeftError } from "../runtime/errors.js"
import { identity } from "./ir/expression.js"
import type { Kernel } from "./ir/kernel.js"
import type { LoopKernel } from "./ir/loop.js"
import type { Expression } from "./ir/nodes.js"
import type { Refusal, Schedule } from "./ir/schedule.js"
import { describeUnproven } from "./ir/verify/accesses.js"
import { verifyKernel } from "./ir/verify/kernel.js"
import { verifyLoop } from "./ir/verify/loop.js"
import type { KernelStep } from "./kernel/fuse.js"
import { clampAccesses } from "./loop/clamp-accesses.js"
import { firstPossible } from "./schedule/fallbacks.js"
import { tunedSchedule } from "./schedule/tuned/lookup.js"
import type { TunedRecord } from "./schedule/tuned/record.js"
import type { LoopPass, Target } from "./targets/target.js"
import { isRefusal, tile } from "./tile/tile.js"

/** A kernel after each pass that it went through alone. */
export interface CompiledKernel {
  readonly kernel: Kernel
  readonly schedule: Schedule
  /** Where the schedule comes from; a refusal: the tuned one is not possible, and heuristics decided. */
  readonly origin: "heuristics" | "tuned" | Refusal
  /** As `tile` made it. */
  readonly tiled: LoopKernel
  /** As it is emitted. */
  readonly loops: LoopKernel
}

export interface LibraryOptions {
  /** Schedules that were measured on the device. */
  readonly tuned?: TunedRecord | undefined
  /** Whether each pass is verified. */
  readonly verify?: boolean | undefined
}

/** The kernels of some steps, in the order of the first step of each, and the number of each step's kernel. */
export function compileKernels(steps: Iterable<KernelStep>, target: Target, options: LibraryOptions) {
  const kernels: CompiledKernel[] = []
  const numbers = new Map<string, number>()
  const numberOf = new Map<KernelStep, number>()
  for (const step of steps) {
    const { kernel } = step
    const key = kernelKey(kernel)
    let index = numbers.get(key)
    if (index === undefined) {
      index = kernels.length
      numbers.set(key, index)
      const named = { ...kernel, name: `k${index}_${kernel.name}`.replace(/[^A-Za-z0-9_]/g, "_") }
      kernels.push({ kernel: named, ...compileKernel(named, target, options) })
    }
    numberOf.set(step, index)
  }
  return { kernels: kernels as readonly CompiledKernel[], numberOf: (step: KernelStep): number => numberOf.get(step)! }
}

/** @throws WeftError `compile/schedule` when no schedule is possible, `compile/verify` when a pass has made what is not valid */
export function compileKernel(
  kernel: Kernel,
  target: Target,
  { tuned, verify = false }: LibraryOptions = {},
): Omit<CompiledKernel, "kernel"> {
  if (verify) refuseProblems(`kernel '${kernel.name}'`, verifyKernel(kernel))
  const measured = tuned === undefined ? undefined : tunedSchedule(kernel, tuned)
  const kept = measured === undefined ? undefined : tile(kernel, measured, target.tile)
  const found =
    measured === undefined || kept === undefined || isRefusal(kept)
      ? firstPossible(kernel, target.schedule, target.tile)
      : { schedule: measured, tiled: kept }
  if ("code" in found)
    throw new WeftError(
      "compile/schedule",
      `kernel '${kernel.name}' cannot be scheduled: ${found.why} (${found.code})`,
      { span: kernel.spans.at(-1) },
    )
  const loops = loopsAfter(found.tiled, target, verify)
  return { ...found, origin: kept === undefined ? "heuristics" : isRefusal(kept) ? kept : "tuned", loops }
}

/**
 * The loops of a kernel under another schedule, as they are emitted: each access lies in its buffer, by a proof or a clamp, and what the target
 * does with what is launched is done.
 *
 * @param known of the kernel as it was compiled: what its proof assumes to be at least 0, and its loops, whose steady buffers are marked
 */
export function loopsFor(
  kernel: Kernel,
  schedule: Schedule,
  target: Target,
  known: { readonly assumed: readonly Expression[]; readonly loops: LoopKernel },
): LoopKernel | Refusal {
  const tiled = tile(kernel, schedule, target.tile)
  if (isRefusal(tiled)) return tiled
  const { loops, unproven } = clampAccesses(loopsAfter(tiled, target, false), known.assumed)
  if (unproven.length > 0) return { code: "access/unproven", why: describeUnproven(unproven[0]!) }
  const isSteady = (i: number) => known.loops.buffers[i]!.steady === true
  const buffers = loops.buffers.map((b, i) => (isSteady(i) ? { ...b, steady: true as const } : b))
  return passed({ ...loops, buffers }, target.launchPasses ?? [], target, false)
}

/** Loops before it is known how they are launched, from what `tile` made. */
function loopsAfter(tiled: LoopKernel, target: Target, verify: boolean): LoopKernel {
  return passed(tiled, [{ name: "tile", run: (loops) => loops }, ...target.loopPasses], target, verify)
}

/** Loops after each of these passes in order. @throws WeftError `compile/verify` when one has made what is not valid */
export function passed(
  given: LoopKernel,
  passes: readonly LoopPass[],
  { tile: machine }: Pick<Target, "tile">,
  verify: boolean,
): LoopKernel {
  return passes.reduce((before, { name, run }) => {
    const loops = run(before)
    if (verify) refuseProblems(`kernel '${loops.name}' after ${name}`, verifyLoop(loops, machine))
    return loops
  }, given)
}

/** What a verifier has found, as an error. */
export function refuseProblems(what: string, problems: readonly { readonly message: string }[]): void {
  if (problems.length > 0)
    throw new WeftError("compile/verify", `${what}: ${problems.map((p) => p.message).join("; ")}`)
}

/** Expressions are interned, so their identities spell the structure. */
function kernelKey(kernel: Kernel): string {
  const buffers = kernel.buffers.map((b) => `${b.dtype} ${b.storage} ${b.shape}`)
  const items = kernel.items.map((i) => {
    const axes = i.axes.map((a) => `${a.name} ${identity(a.extent)}`).join(",")
    return i.kind === "local"
      ? `${i.name} ${axes} ${identity(i.value)}`
      : `${i.buffer} ${axes} ${i.index.map(identity)} ${identity(i.value)}`
  })
  return [...buffers, ...items, ...(kernel.long ?? [])].join(";")
}
