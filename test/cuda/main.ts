/**
 * The tests of a card as a program: `scripts/cuda-tests.mjs` bundles it, without the compiler and with `runner.ts` in place of vitest.
 *
 *     node tests.mjs [words of a name]        on a card, with the binaries beside it
 *     node tests.mjs --fault                  prints what is left after the fault of a kernel; a test runs it
 *     node tests.mjs --record FILE ARCH       anywhere: writes the texts that are to become binaries for an architecture
 */
import { createHash } from "node:crypto"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { gunzipSync } from "node:zlib"
import type { Artifact } from "../../runtime/artifact.js"
import { architectureOf } from "../../runtime/devices/cuda/compilers/architectures.js"
import { unitOf } from "../../runtime/devices/cuda/compilers/modules.js"
import {
  type CudaDevice,
  type CudaDeviceOptions,
  type LoadModules,
  openCudaDevice,
} from "../../runtime/devices/cuda/device.js"
import { loadDriver } from "../../runtime/devices/cuda/signatures.js"
import { fakeDriver, imageOf } from "../support/cuda-driver.js"
import { root } from "../support/goldens.js"
import { fault, faultReport, reportOfChild } from "./fault.js"
import { runAll } from "./runner.js"
import { type Card, cardSuites } from "./suites.js"

type Open = (options?: CudaDeviceOptions) => Promise<CudaDevice>

const read = <T>(name: string): Record<string, T> =>
  JSON.parse(gunzipSync(readFileSync(join(root, `${name}.json.gz`))).toString())
const keyOf = (text: string): string => createHash("sha256").update(text).digest("hex")

/** Runs the tests whose names hold `only`. */
async function run(card: Omit<Card, "artifactOf">, only: string): Promise<number> {
  // A card that is not there is a failure.
  process.env.WEFT_REQUIRE ??= "cuda"
  const artifacts = read<Artifact>("artifacts")
  await cardSuites({ ...card, artifactOf: async (name) => artifacts[name]! })
  return runAll(only)
}

/** On a card, with the binaries that were carried to it. */
function carried(): Open {
  const binaries = read<string>("binaries")
  const load: LoadModules = async (code) => {
    const image = binaries[keyOf(unitOf(code, code.kernels))]
    if (image === undefined)
      throw new Error(`no binary of ${code.kernels.map((k) => k.name).join(", ")} was carried here`)
    return [{ image: Buffer.from(image, "base64"), kernels: [...code.kernels.keys()], early: true }]
  }
  return async (options) => openCudaDevice(await loadDriver(), load, options)
}

/** On a driver that computes nothing and knows the fault alone; texts are gathered by their hashes. */
function recording(texts: Record<string, string>, arch: string): Open {
  const driver = fakeDriver(2 ** 31, architectureOf(arch)!.capability)
  const load: LoadModules = async (code) => {
    const text = unitOf(code, code.kernels)
    texts[keyOf(text)] = text
    const faults = () => {
      throw driver.fault
    }
    for (const { symbol } of code.kernels) driver.kernels.set(symbol!, symbol === fault.symbol ? faults : () => {})
    return [{ image: imageOf(code.kernels.map((k) => k.symbol!)), kernels: [...code.kernels.keys()], early: true }]
  }
  return async (options) => openCudaDevice(driver, load, options)
}

const [mode, ...given] = process.argv.slice(2)
if (mode === "--fault") console.log(JSON.stringify(await faultReport(carried())))
else if (mode === "--record") {
  const [file, arch] = given
  const texts: Record<string, string> = {}
  const open: Open = (options) => recording(texts, arch!)(options)
  await run({ open, faulted: () => faultReport(recording(texts, arch!)) }, "")
  writeFileSync(file!, JSON.stringify(texts))
} else {
  const faulted = () => reportOfChild([fileURLToPath(import.meta.url), "--fault"])
  const failed = await run({ open: carried(), faulted }, process.argv.slice(2).join(" "))
  process.exitCode = failed === 0 ? 0 : 1
}
