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
import { targetFor } from "../compiler/targets/target.js"
import type { Device } from "../runtime/devices/device.js"
import { parse, UsageError } from "./arguments.js"
import { flagsOf } from "./commands.js"
import { chooseDevice, deviceForArtifact, deviceNames, precisionFor } from "./device.js"
import { createProgress, say, write } from "./output.js"
import { shippedCheckpoint } from "./package.js"
import { writablePath, writeResult } from "./result.js"
import { missingConfig, subjectOf } from "./subject.js"
import { type Bed, createBed, meetsNeeds } from "./tune/bed.js"
import { type Found, median, search } from "./tune/search.js"
import { createTrial } from "./tune/trial.js"
import { readTuned, tunedFile, tunedName, tunedText } from "./tuned.js"

/** What is tuned when nothing else is asked for: reading a prompt and generating. */
const usualEntries = ["prefill", "step", "greedy"]
/** Kernels with less of the time than this are left to the heuristics. */
const leastShare = 0.01
/** An entry that takes less than this of the largest one's time counts less. */
const countsFrom = 0.01
/** A sample takes so many milliseconds at least, where one launch does not; of CUDA it was not measured. */
const sampleMs = { wasm: 1, webgpu: 15, cuda: 15 } as const

interface Measured extends Found {
  readonly kernel: string
  readonly key: string
  readonly share: number
}

export async function tune(args: readonly string[]): Promise<number> {
  const { values, words } = parse(args, flagsOf("tune"))
  const { budget = 60, context } = values
  if (!(budget > 0)) throw new UsageError("--budget takes a number of seconds above 0")
  const checkpoint = values.model ?? (words.length === 0 ? shippedCheckpoint : undefined)
  const subject = await subjectOf({ ...values, ...(checkpoint && { checkpoint }) }, words, "tune")
  // V8 runs a WebAssembly function slowly until it has had it compiled beside; which call that is would decide what looks fast.
  setFlagsFromString("--no-liftoff")
  const name = deviceNames.find((d) => d === values.device)
  // As `load` runs what it compiles: kernels of all schedules are proven.
  const choice = { device: name, threads: values.threads ?? 1 }
  const chosen = await chooseDevice(name ?? "auto", choice.threads, "proven")
  const { adapter, reason } = chosen
  let { device } = chosen
  const progress = createProgress()
  try {
    say(`weft: ${device.description} (${reason})`)
    progress.show("compiling …")
    const compiler = await import("../compiler/internal.js")
    const precision = values.precision ?? precisionFor(device)
    const options = { precision, adapter, context, ...(subject.tensors && { tensors: subject.tensors }) }
    const compiling = compiler.compileFile(subject.file, subject.config, device.kind, options)
    const { compilation } = await compiling.catch((cause) => Promise.reject(missingConfig(subject, cause)))
    device = (await deviceForArtifact(chosen, compilation.artifact, choice)).device
    if (device.unchecked === true && !meetsNeeds(compilation)) {
      device.dispose()
      device = (await chooseDevice(device.kind, choice.threads, "checked")).device
    }
    const path = values.out ?? writablePath(tunedFile(device))
    const bed = await createBed(compilation, device)
    try {
      const entries = chosenEntries(compilation, values.entries)
      const shares = await measureEntries(bed, compilation, entries, (text) => progress.show(text))
      const target = targetFor(device.kind, adapter, precision)
      const pattern = values.kernels
      const wanted = shares.kernels.filter(
        ({ kernel, share }) =>
          share >= leastShare && (pattern === undefined || pattern.test(compilation.kernels[kernel]!.kernel.name)),
      )
      const found: Measured[] = []
      // Only what is spent on measuring counts.
      let remaining = 1000 * budget
      for (const [i, { kernel: number, share, entry, launch, microseconds }] of wanted.entries()) {
        const { kernel, assumed } = compilation.kernels[number]!
        const left = wanted.slice(i).reduce((n, k) => n + k.share, 0)
        progress.show(`${kernel.name}: ${i + 1} of ${wanted.length}`)
        const inputs = await bed.inputsOf(entry, launch)
        const { artifact } = compilation
        const least = (1000 * sampleMs[device.kind]) / Math.max(0.1, microseconds)
        const launches = Math.max(1, Math.min(200, Math.ceil(least)))
        const given = { kernel, launch: artifact.entries[entry]!.launches[launch]!, inputs, artifact, target, launches }
        const trial = createTrial(bed, given)
        try {
          const { schedules } = compilation.within(() => compiler.choices(kernel, target))
          const realise = (s: (typeof schedules)[number]) =>
            compilation.within(() => compiler.loopsFor(kernel, s, target, assumed))
          const started = performance.now()
          const until = started + Math.max(0, remaining) * (share / left)
          const result = await search(trial, { schedules, realise, until })
          remaining -= performance.now() - started
          found.push({ ...result, kernel: kernel.name, key: compiler.structureOf(kernel).key, share })
        } finally {
          trial.dispose()
        }
      }
      progress.done()
      const better = await writeRecord(path, device, found, compilation, compiler.structureOf)
      await write(values.json === true ? `${JSON.stringify(summary(found, shares))}\n` : table(found, shares))
      say(`weft: ${better} of ${found.length} kernels are better than the heuristics say; ${path}`)
      for (const { kernel, problems } of found)
        for (const { problem, schedule } of problems.filter((p) => p.wrong))
          say(`weft: WRONG: ${kernel}: ${problem}\n  under ${JSON.stringify(schedule)}`)
      return found.some((f) => f.problems.some((p) => p.wrong)) ? 1 : 0
    } finally {
      bed.dispose()
    }
  } finally {
    progress.done()
    device.dispose()
  }
}

function chosenEntries({ artifact }: Compilation, asked: readonly string[] | undefined): readonly string[] {
  const all = Object.keys(artifact.entries)
  const unknown = asked?.find((e) => !all.includes(e))
  if (unknown !== undefined)
    throw new UsageError(`--entries: there is no entry '${unknown}'; there are ${all.join(", ")}`)
  const usual = usualEntries.filter((e) => all.includes(e))
  return asked ?? (usual.length > 0 ? usual : all)
}

interface Shares {
  /** Microseconds of an entry's launches, by kernel. */
  readonly entries: ReadonlyMap<string, ReadonlyMap<number, number>>
  /** Those with the largest share first; where such a kernel is launched first in the entry where it takes longest, and for how long. */
  readonly kernels: readonly {
    readonly kernel: number
    readonly share: number
    readonly entry: string
    readonly launch: number
    readonly microseconds: number
  }[]
}

/**
 * What each kernel takes of its entries: the median of a few runs, launch by launch. Entries count the same, a step as much as a prompt, but
 * those that take next to nothing, like picking the most likely token.
 */
async function measureEntries(
  bed: Bed,
  { artifact }: Compilation,
  names: readonly string[],
  show: (text: string) => void,
): Promise<Shares> {
  const entries = new Map<string, ReadonlyMap<number, number>>()
  const kernels = new Map<number, Shares["kernels"][number]>()
  const timeOf = async (launch: () => void) => {
    const started = performance.now()
    launch()
    await bed.settle()
    return 1000 * (performance.now() - started)
  }
  const launched = new Map<string, readonly number[]>()
  const idle: number[] = []
  for (let i = 0; i < 9; i++) idle.push(await timeOf(() => {}))
  for (const entry of names) {
    show(`measuring ${entry} …`)
    const { launches } = artifact.entries[entry]!
    const times = launches.map((): number[] => [])
    for (let run = 0; run < 4; run++)
      for (const [i, launch] of launches.entries()) {
        const time = await timeOf(() => bed.run(launch))
        if (run > 0) times[i]!.push(Math.max(0.1, time - median(idle)))
      }
    const sums = new Map<number, number>()
    for (const [i, { kernel }] of launches.entries()) sums.set(kernel, (sums.get(kernel) ?? 0) + median(times[i]!))
    entries.set(entry, sums)
    launched.set(
      entry,
      times.map((t) => median(t)),
    )
  }
  const totals = new Map([...entries].map(([entry, sums]) => [entry, [...sums.values()].reduce((a, b) => a + b, 0)]))
  const largest = Math.max(...totals.values())
  for (const [entry, sums] of entries)
    for (const [kernel, sum] of sums) {
      const share = sum / Math.max(totals.get(entry)!, largest * countsFrom)
      const known = kernels.get(kernel)
      const launch = artifact.entries[entry]!.launches.findIndex((l) => l.kernel === kernel)
      if (known === undefined || known.share < share)
        kernels.set(kernel, { kernel, share, entry, launch, microseconds: launched.get(entry)![launch]! })
    }
  return { entries, kernels: [...kernels.values()].sort((a, b) => b.share - a.share) }
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

const ratio = (f: Found) => f.microseconds / f.heuristicMicroseconds

function summary(found: readonly Measured[], { entries }: Shares) {
  const ratios = new Map(found.map((f) => [Number(/^k(\d+)/.exec(f.kernel)![1]), ratio(f)]))
  return {
    kernels: found.map(
      ({ kernel, key, share, microseconds, heuristicMicroseconds, better, tried, choices, problems }) => ({
        kernel,
        key,
        share,
        heuristicMicroseconds,
        microseconds,
        better,
        tried,
        choices,
        problems: problems.length,
      }),
    ),
    entries: [...entries].map(([entry, sums]) => {
      const heuristic = [...sums.values()].reduce((a, b) => a + b, 0)
      const best = [...sums].reduce((n, [kernel, sum]) => n + sum * (ratios.get(kernel) ?? 1), 0)
      return { entry, heuristicMicroseconds: heuristic, microseconds: best }
    }),
  }
}

function table(found: readonly Measured[], shares: Shares): string {
  const row = (cells: readonly string[]) =>
    `${cells[0]!.padEnd(24)} ${cells
      .slice(1)
      .map((c) => c.padStart(11))
      .join(" ")}\n`
  const us = (n: number) => `${n.toFixed(1)} µs`
  const { entries } = summary(found, shares)
  return [
    row(["kernel", "share", "heuristic", "best", "ratio", "tried"]),
    ...found.map((f) =>
      row([
        f.kernel,
        `${(100 * f.share).toFixed(0)} %`,
        us(f.heuristicMicroseconds),
        us(f.microseconds),
        ratio(f).toFixed(2),
        `${f.tried} of ${f.choices}`,
      ]),
    ),
    ...entries.map((e) =>
      row([
        `all of ${e.entry}`,
        "",
        us(e.heuristicMicroseconds),
        us(e.microseconds),
        (e.microseconds / e.heuristicMicroseconds).toFixed(2),
        "",
      ]),
    ),
  ].join("")
}
