/**
 * weft tune: measures schedules on the device, and writes those that are better than the heuristic ones.
 *
 *     weft tune --device wasm --budget 120
 *     kernel                    share   heuristic        best  ratio  tried
 *     k9_t10                     23 %    103.7 µs     81.2 µs   0.78  64 of 120
 *
 * Kernels are measured alone, with random weights and with what the kernels before them make of these. The largest share of the time comes first.
 */
import { setFlagsFromString } from "node:v8"
import type { Compilation } from "../compiler/compile.js"
import { type TunedKernel, type TunedRecord, tunedFormat } from "../compiler/schedule/tuned/record.js"
import { type Target, targetFor } from "../compiler/targets/target.js"
import type { Device } from "../runtime/devices/device.js"
import { parse, UsageError } from "./arguments.js"
import { narrowedTypes } from "./artifact.js"
import { flagsOf } from "./commands.js"
import { chooseDevice, deviceForArtifact, deviceNames, precisionFor } from "./device.js"
import { createProgress, say, write } from "./output.js"
import { shippedCheckpoint } from "./package.js"
import { writablePath, writeResult } from "./result.js"
import { missingConfig, subjectOf, weightsIn } from "./subject.js"
import { type Bed, createBed } from "./tune/bed.js"
import { type Measured, summary, table } from "./tune/report.js"
import { search } from "./tune/search.js"
import { measureShares, type Share } from "./tune/shares.js"
import { meetsNeeds } from "./tune/sizes.js"
import { createTrial } from "./tune/trial.js"
import { readTuned, tunedFile, tunedName, tunedText } from "./tuned.js"

/** What is tuned when nothing else is asked for: reading a prompt and generating. */
const usualEntries = ["prefill", "step", "greedy"]
/** Kernels with less of the time than this are left to the heuristics. */
const leastShare = 0.01
/** A sample takes so many milliseconds at least, where one launch does not; of CUDA it was not measured. */
const sampleMs = { wasm: 1, webgpu: 15, cuda: 15 } as const
/** Launches of a sample at most. */
const mostLaunches = 200

type Values = ReturnType<typeof parsed>["values"]
type Compiler = typeof import("../compiler/internal.js")
type Progress = ReturnType<typeof createProgress>

const parsed = (args: readonly string[]) => parse(args, flagsOf("tune"))

export async function tune(args: readonly string[]): Promise<number> {
  const { values, words } = parsed(args)
  const { budget = 60 } = values
  if (!(budget > 0)) throw new UsageError("--budget takes a number of seconds above 0")
  // V8 runs a WebAssembly function slowly until it has had it compiled beside; which call that is would decide what looks fast.
  setFlagsFromString("--no-liftoff")
  const progress = createProgress()
  const compiler = await import("../compiler/internal.js")
  const { compilation, device, target } = await prepare(values, words, compiler, progress)
  try {
    const path = values.out ?? writablePath(tunedFile(device))
    const bed = await createBed(compilation, device)
    try {
      const names = chosenEntries(compilation, values.entries)
      const shares = await measureShares(bed, compilation, names, (text) => progress.show(text))
      const wanted = shares.kernels.filter(({ kernel, share }) => {
        const { name } = compilation.kernels[kernel]!.kernel
        return share >= leastShare && (values.kernels === undefined || values.kernels.test(name))
      })
      const found = await measureKernels({ bed, compilation, compiler, target }, wanted, budget, progress)
      progress.done()
      const better = await writeRecord(path, device, found, compilation, compiler.structureOf)
      await write(values.json === true ? `${JSON.stringify(summary(found, shares))}\n` : table(found, shares))
      say(`weft: ${better} of ${found.length} kernels are better than the heuristics say; ${path}`)
      return told(found)
    } finally {
      bed.dispose()
    }
  } finally {
    progress.done()
    device.dispose()
  }
}

/** The device, and what is measured on it. */
async function prepare(values: Values, words: readonly string[], compiler: Compiler, progress: Progress) {
  const checkpoint = values.model ?? (words.length === 0 ? shippedCheckpoint : undefined)
  const subject = await subjectOf({ ...values, ...(checkpoint && { checkpoint }) }, words, "tune")
  const name = deviceNames.find((d) => d === values.device)
  // As `load` runs what it compiles: kernels of all schedules are proven.
  const choice = { device: name, threads: values.threads ?? 1, experimentalGpu: values["experimental-gpu"] }
  const chosen = await chooseDevice(name ?? "auto", choice.threads, "proven", choice.experimentalGpu)
  const { adapter, reason } = chosen
  let { device } = chosen
  try {
    say(`weft: ${device.description} (${reason})`)
    if (chosen.warning !== undefined) say(`weft: ${chosen.warning}`)
    progress.show("compiling …")
    const precision = values.precision ?? precisionFor(device)
    const given = subject.tensors
    // As `load` takes matrices of bf16.
    const narrows = precision === "fast" && adapter?.matrices !== undefined
    const tensors: typeof given = narrows
      ? (expected, names) => narrowedTypes((given ?? weightsIn())(expected, names), expected)
      : given
    const options = { precision, adapter, context: values.context, ...(tensors && { tensors }) }
    const compiling = compiler.compileFile(subject.file, subject.config, device.kind, options)
    const { compilation } = await compiling.catch((cause) => Promise.reject(missingConfig(subject, cause)))
    device = (await deviceForArtifact(chosen, compilation.artifact, choice)).device
    if (device.unchecked === true && !meetsNeeds(compilation)) {
      device.dispose()
      device = (await chooseDevice(device.kind, choice.threads, "checked", choice.experimentalGpu)).device
    }
    return { compilation, device, target: targetFor(device.kind, adapter, precision) }
  } catch (error) {
    progress.done()
    device.dispose()
    throw error
  }
}

function chosenEntries({ artifact }: Compilation, asked: readonly string[] | undefined): readonly string[] {
  // Sizes are the same for all that is measured: variants for fewer rows cannot run with them.
  const all = Object.keys(artifact.entries).filter((name) => artifact.entries[name]!.variantOf === undefined)
  const unknown = asked?.find((e) => !all.includes(e))
  if (unknown !== undefined)
    throw new UsageError(`--entries: there is no entry '${unknown}'; there are ${all.join(", ")}`)
  const usual = usualEntries.filter((e) => all.includes(e))
  return asked ?? (usual.length > 0 ? usual : all)
}

interface Parts {
  readonly bed: Bed
  readonly compilation: Compilation
  readonly compiler: Compiler
  readonly target: Target
}

/** Measures kernels for so many seconds together: each gets of the time what it has of the work that is left. */
async function measureKernels(
  parts: Parts,
  wanted: readonly Share[],
  budget: number,
  progress: Progress,
): Promise<readonly Measured[]> {
  const found: Measured[] = []
  // Only what is spent on measuring counts.
  let remaining = 1000 * budget
  for (const [i, share] of wanted.entries()) {
    const { name } = parts.compilation.kernels[share.kernel]!.kernel
    progress.show(`${name}: ${i + 1} of ${wanted.length}`)
    const left = wanted.slice(i).reduce((n, k) => n + k.share, 0)
    const { result, spent } = await measureKernel(parts, share, Math.max(0, remaining) * (share.share / left))
    remaining -= spent
    found.push(result)
  }
  return found
}

async function measureKernel(
  { bed, compilation, compiler, target }: Parts,
  { kernel: number, share, entry, launch, microseconds }: Share,
  milliseconds: number,
): Promise<{ readonly result: Measured; readonly spent: number }> {
  const { artifact, kernels, within } = compilation
  const compiled = kernels[number]!
  const { kernel } = compiled
  const least = (1000 * sampleMs[bed.device.kind]) / Math.max(0.1, microseconds)
  const trial = createTrial(bed, {
    kernel,
    launch: artifact.entries[entry]!.launches[launch]!,
    inputs: await bed.inputsOf(entry, launch),
    artifact,
    target,
    launches: Math.max(1, Math.min(mostLaunches, Math.ceil(least))),
  })
  try {
    const { schedules } = within(() => compiler.choices(kernel, target))
    const realise = (s: (typeof schedules)[number]) => within(() => compiler.loopsFor(kernel, s, target, compiled))
    const started = performance.now()
    const result = await search(trial, { schedules, realise, until: started + milliseconds })
    const { key } = compiler.structureOf(kernel)
    return { result: { ...result, kernel: kernel.name, key, share }, spent: performance.now() - started }
  } finally {
    trial.dispose()
  }
}

/** Says which schedules computed something else, and answers with what the command ends with. */
function told(found: readonly Measured[]): number {
  const wrong = found.flatMap(({ kernel, problems }) => problems.flatMap((p) => (p.wrong ? [{ kernel, ...p }] : [])))
  for (const { kernel, problem, schedule } of wrong)
    say(`weft: WRONG: ${kernel}: ${problem}\n  under ${JSON.stringify(schedule)}`)
  return wrong.length > 0 ? 1 : 0
}

/** Kernels that were not measured keep what was found for them before. */
async function writeRecord(
  path: string,
  device: Device,
  found: readonly Measured[],
  compilation: Compilation,
  structureOf: (kernel: Compilation["kernels"][number]["kernel"]) => { readonly axes: readonly string[] },
): Promise<number> {
  const before = await readTuned(path)
  const kernels: Record<string, TunedKernel> = before?.target === device.kind ? { ...before.kernels } : {}
  const digits = (n: number) => Number(n.toPrecision(4))
  // Of kernels that share a structure the one with the largest share decides.
  for (const f of [...found].reverse()) {
    delete kernels[f.key]
    if (!f.better) continue
    const { kernel } = compilation.kernels.find((k) => k.kernel.name === f.kernel)!
    kernels[f.key] = {
      axes: structureOf(kernel).axes,
      schedule: f.schedule,
      microseconds: digits(f.microseconds),
      heuristicMicroseconds: digits(f.heuristicMicroseconds),
    }
  }
  const better = found.filter((f) => f.better).length
  if (Object.keys(kernels).length === 0 && before === undefined) return better
  const record: TunedRecord = {
    format: tunedFormat,
    target: device.kind,
    device: tunedName(device),
    measured: device.description,
    kernels,
  }
  await writeResult(path, tunedText(record))
  return better
}
