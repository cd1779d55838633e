/**
 * The files of tuned schedules, one for each kind of device: compiler/schedule/tuned/<device>.json.
 *
 *   webgpu-nvidia-hopper.json     by the adapter's vendor and architecture
 *   cuda-nvidia-h200.json         by the card
 *   wasm-amd-epyc.json            by the processor
 *
 * Without a file for a device, heuristics decide. A file that is not well-formed is refused.
 */
import { readFile } from "node:fs/promises"
import { arch, cpus } from "node:os"
import { join } from "node:path"
import { checkTuned, type TunedRecord } from "../compiler/schedule/tuned/record.js"
import type { CudaDevice } from "../runtime/devices/cuda/device.js"
import type { Device } from "../runtime/devices/device.js"
import type { WebgpuAdapterInfo, WebgpuDevice } from "../runtime/devices/webgpu/device.js"
import { WeftError } from "../runtime/errors.js"
import { packageFolder } from "./package.js"

/** The name of the device's kind, as the file is called. */
export function tunedName(device: Device): string {
  return [device.kind, ...wordsOf(device)]
    .map((word) => word.toLowerCase().replace(/\((r|tm)\)|@.*$/g, ""))
    .join(" ")
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "")
}

function wordsOf(device: Device): readonly string[] {
  switch (device.kind) {
    case "cuda":
      return [(device as CudaDevice).facts.name]
    case "webgpu":
      return wordsOfAdapter((device as WebgpuDevice).adapterInfo)
    case "wasm":
      return [cpus()[0]?.model ?? arch()]
    default:
      return device.kind satisfies never
  }
}

/** Schedules for matrices are others. */
const wordsOfAdapter = ({ vendor, architecture, matrices }: WebgpuAdapterInfo): readonly string[] => [
  vendor,
  architecture,
  ...(matrices.spelling === undefined ? [] : ["matrices"]),
]

export const tunedFile = (device: Device): string =>
  join(packageFolder, "compiler", "schedule", "tuned", `${tunedName(device)}.json`)

/**
 * The record in a file, undefined when there is none.
 *
 * @throws WeftError `tuned/record`
 */
export async function readTuned(path: string): Promise<TunedRecord | undefined> {
  const text = await readFile(path, "utf8").catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === "ENOENT") return undefined
    throw new WeftError("tuned/record", `${path} cannot be read: ${cause.message}`, { cause })
  })
  if (text === undefined) return undefined
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new WeftError("tuned/record", `${path} is not JSON: ${cause instanceof Error ? cause.message : cause}`, {
      hint: "write it again with weft tune, or remove it: schedules are then chosen by heuristics",
      cause,
    })
  }
  return checkTuned(value, path)
}

/**
 * The schedules for a device: those of a named file, which has to be there, or of the package's own.
 *
 * @throws WeftError `tuned/record`, `tuned/missing`
 */
export async function tunedFor(device: Device, file: string | false | undefined): Promise<TunedRecord | undefined> {
  if (file === false) return undefined
  return file === undefined ? readTuned(tunedFile(device)) : namedTuned(file)
}

/** @throws WeftError `tuned/record`, `tuned/missing` */
export async function namedTuned(file: string): Promise<TunedRecord> {
  const found = await readTuned(file)
  if (found === undefined)
    throw new WeftError("tuned/missing", `there is no file ${file}`, { hint: "weft tune writes it" })
  return found
}

/** The text of a record: keys in order, a line for each part of a kernel, so that a difference shows what changed. */
export function tunedText({ format, target, device, measured, kernels }: TunedRecord): string {
  const entries = Object.entries(kernels).sort(([a], [b]) => (a < b ? -1 : 1))
  const parts = entries.map(([key, kernel]) => {
    const lines = Object.entries(kernel).map(
      ([name, value]) => `      ${JSON.stringify(name)}: ${JSON.stringify(value)}`,
    )
    return `    ${JSON.stringify(key)}: {\n${lines.join(",\n")}\n    }`
  })
  const head = Object.entries({ format, target, device, measured }).map(
    ([k, v]) => `  ${JSON.stringify(k)}: ${JSON.stringify(v)},`,
  )
  return `{\n${head.join("\n")}\n  "kernels": {${parts.length > 0 ? `\n${parts.join(",\n")}\n  ` : ""}}\n}\n`
}
