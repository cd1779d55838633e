/**
 * weft explain: how a model becomes kernels, as a page and as facts.
 *
 *     weft explain models/qwen3.ts --config qwen3-0.6b.json --device nvidia-h200 --out page.html
 *     weft explain --checkpoint models/tales --target wasm --json
 */
import { defaultDevice, deviceOn, devices } from "../compiler/explain/devices.js"
import { WeftError } from "../runtime/errors.js"
import { parse, UsageError } from "./arguments.js"
import { defaultTarget, flagsOf } from "./commands.js"
import { counted, say, write } from "./output.js"
import { writeResult } from "./result.js"
import { missingConfig, readObject, subjectOf } from "./subject.js"
import { namedTuned } from "./tuned.js"

const deviceReader = [
  (name: string) => (Object.hasOwn(devices, name) ? name : undefined),
  Object.keys(devices).join(", "),
] as const

export async function explain(args: readonly string[]): Promise<number> {
  const { values, words } = parse(args, flagsOf("explain"), { device: deviceReader })
  const { out, json = false, target = defaultTarget, precision, context, seq = 512, past = 1024 } = values
  if (out === undefined && !json) throw new UsageError("--out or --json is missing, such as --out page.html")
  if (seq < 1) throw new UsageError("--seq takes a whole number from 1 on")
  const subject = await subjectOf(values, words, "explain")
  const { file, config, name, tensors } = subject
  const measured = values.measured === undefined ? undefined : await readTimes(values.measured)
  const tuned = values.tuned === undefined ? undefined : await namedTuned(values.tuned)
  const compiler = await import("../compiler/internal.js")
  const onWarning = (message: string) => say(`weft: ${message}`)
  const named = devices[values.device ?? (target === "wasm" ? "" : defaultDevice)]
  const device = named && deviceOn(named, target)
  if (named !== undefined && device === undefined)
    throw new UsageError(`${named.title} runs nothing that is for ${target}`)
  const options = {
    subject: name,
    seq,
    past,
    device,
    measured,
    precision,
    context,
    tuned,
    onWarning,
    ...(tensors && { tensors }),
  }
  const explaining = compiler.explain(file, config, target, options)
  const { facts, page } = await explaining.catch((cause) => Promise.reject(missingConfig(subject, cause)))
  if (out !== undefined) {
    await writeResult(out, page())
    say(`weft: ${out} shows ${counted(facts.distinctKernels, "kernel")} for ${target}`)
    const slow = facts.kernels.filter((k) => k.why.length > 0).length
    if (slow > 0)
      say(`weft: ${slow} launches take far longer than their bytes and operations, by estimate; they are marked`)
  }
  if (json) await write(`${JSON.stringify(facts)}\n`)
  return 0
}

async function readTimes(path: string): Promise<ReadonlyMap<string, number>> {
  const times = Object.entries(await readObject(path))
  for (const [kernel, microseconds] of times)
    if (typeof microseconds !== "number" || !(microseconds >= 0))
      throw new WeftError("cli/measured", `${path}: the time of '${kernel}' is no number of microseconds`, {
        hint: '{ "k1_t0": 12.5, … }, one launch of each kernel by its name on the page',
      })
  return new Map(times as [string, number][])
}
