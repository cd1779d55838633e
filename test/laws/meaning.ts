/** What a program means, and the laws of one program: its kernels, its loops under a schedule, its plan. */
import { interpretKernel } from "../../compiler/interpret/kernel.js"
import { type Dense, interpretTensor } from "../../compiler/interpret/tensor.js"
import type { Kernel } from "../../compiler/ir/kernel.js"
import { verifyKernel } from "../../compiler/ir/verify/kernel.js"
import { verifyTensor } from "../../compiler/ir/verify/tensor.js"
import type { CutLimits } from "../../compiler/kernel/cuts.js"
import { type Compiled, execute, found, fuseProgram } from "./execute.js"
import { dataOf, type LawProgram, rootsOf } from "./generate.js"
import { checkLoops, effectOf, LawBroken } from "./loops.js"
import { compile, type PlanFault, type Planned, runPlan } from "./planned.js"
import type { Scheduled } from "./schedules.js"
import { difference } from "./tolerance.js"

const meanings = new WeakMap<LawProgram, readonly Dense[]>()

/** What the interpreter of tensors computes: once for each program, for levels share programs. */
export function meaning(p: LawProgram): readonly Dense[] {
  const known = meanings.get(p)
  if (known !== undefined) return known
  const inputs = new Map(p.inputs.map((x) => [x.name, dataOf(p, x)]))
  const made = interpretTensor(rootsOf(p), inputs, p.values, p.regime === "exact" ? "rounded" : "absolute")
  meanings.set(p, made)
  return made
}

export const kernelsOf = ({ fused, units }: Compiled): readonly Kernel[] => {
  const inner = new Set(fused.steps.flatMap((s) => (s.kind === "call" ? [units(s.unit)] : [])))
  return [fused, ...inner].flatMap((f) => f.steps.flatMap((s) => (s.kind === "kernel" ? [s.kernel] : [])))
}

export function agree(expected: readonly Dense[], found: readonly (readonly number[])[]): void {
  for (const [i, dense] of expected.entries()) {
    const problem = difference({ name: `result ${i}`, expected: dense.data, found: found[i]!, bound: dense.bound })
    if (problem !== undefined) throw new LawBroken(problem)
  }
}

/** @throws LawBroken with what a verifier says */
export const none = (problems: readonly { readonly message: string }[]): void => {
  if (problems.length > 0) throw new LawBroken(problems.map((p) => p.message).join("; "))
}

/** The kernels of `p` compute what `drawn` means: `p` is the same program, maybe simplified. */
export function checkKernels(
  drawn: LawProgram,
  p: LawProgram,
  cuts?: CutLimits,
  bindings?: number,
  fault: (c: Compiled) => Compiled = (c) => c,
): void {
  none(verifyTensor(rootsOf(p)))
  const compiled = fault(fuseProgram(p, cuts, bindings))
  none(kernelsOf(compiled).flatMap(verifyKernel))
  const memories = execute(compiled, p, (kernel, buffers) => interpretKernel(kernel, buffers, p.values))
  agree(meaning(drawn), found(p, compiled, memories))
}

/** The loops of each kernel under its schedule; answers with the codes of refusals. */
export function checkTiling(
  p: LawProgram,
  cuts: CutLimits | undefined,
  schedule: (kernel: Kernel, turn: number) => Scheduled,
  check = checkLoops,
): readonly (string | undefined)[] {
  const codes: (string | undefined)[] = []
  execute(fuseProgram(p, cuts), p, (kernel, buffers) => {
    const effect = effectOf(kernel, buffers, p.values, p.regime)
    codes.push(check(effect, schedule(kernel, codes.length), p.values, p.seed))
  })
  return codes
}

export function checkPlan(p: LawProgram, target: Parameters<typeof compile>[1], fault?: PlanFault): void {
  const compiled: Planned = compile(p, target)
  fault?.(compiled.plan)
  const expected = meaning(p)
  for (const found of runPlan(p, compiled)) agree(expected, found)
}
