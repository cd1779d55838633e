/**
 * The tests of a card as a program: `scripts/cuda-tests.mjs` bundles it, without the compiler and with `runner.ts` in place of vitest.
 *
 *     node tests.mjs [words of a name]        on a card, with the binaries beside it
 *     node tests.mjs --record FILE ARCH       anywhere: writes the texts that are to become binaries for an architecture
 */
import { createHash } from "node:crypto"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { gunzipSync } from "node:zlib"
import type { Artifact } from "../../runtime/artifact.js"
import { architectureOf } from "../../runtime/devices/cuda/compilers/architectures.js"
import { unitOf } from "../../runtime/devices/cuda/compilers/modules.js"
import { type CudaDeviceOptions, type LoadModules, openCudaDevice } from "../../runtime/devices/cuda/device.js"
import { loadDriver } from "../../runtime/devices/cuda/signatures.js"
import { fakeDriver, imageOf } from "../support/cuda-driver.js"
import { root } from "../support/goldens.js"
import { runAll } from "./runner.js"
import { cardSuites } from "./suites.js"

const read = <T>(name: string): Record<string, T> =>
  JSON.parse(gunzipSync(readFileSync(join(root, `${name}.json.gz`))).toString())
const artifacts = read<Artifact>("artifacts")
const keyOf = (text: string): string => createHash("sha256").update(text).digest("hex")
const [recorded, arch] = process.argv[2] === "--record" ? process.argv.slice(3) : []

/** Texts by their hashes, gathered in place of being run. */
const texts: Record<string, string> = {}
const record = async (options?: CudaDeviceOptions) => {
  const driver = fakeDriver(2 ** 31, architectureOf(arch!)!.capability)
  const load: LoadModules = async (code) => {
    const text = unitOf(code, code.kernels)
    texts[keyOf(text)] = text
    for (const { symbol } of code.kernels) driver.kernels.set(symbol!, () => {})
    return [{ image: imageOf(code.kernels.map((k) => k.symbol!)), kernels: [...code.kernels.keys()], early: true }]
  }
  return openCudaDevice(driver, load, options)
}

const carried = (): ((options?: CudaDeviceOptions) => Promise<ReturnType<typeof openCudaDevice>>) => {
  const binaries = read<string>("binaries")
  const load: LoadModules = async (code) => {
    const image = binaries[keyOf(unitOf(code, code.kernels))]
    if (image === undefined)
      throw new Error(`no binary of ${code.kernels.map((k) => k.name).join(", ")} was carried here`)
    return [{ image: Buffer.from(image, "base64"), kernels: [...code.kernels.keys()], early: true }]
  }
  return async (options) => openCudaDevice(await loadDriver(), load, options)
}

// A card that is not there is a failure.
process.env.WEFT_REQUIRE ??= "cuda"
await cardSuites({
  open: recorded === undefined ? carried() : record,
  artifactOf: async (name) => artifacts[name]!,
})
const failed = await runAll(process.argv.slice(recorded === undefined ? 2 : 5).join(" "))
if (recorded !== undefined) writeFileSync(recorded, JSON.stringify(texts))
else process.exitCode = failed === 0 ? 0 : 1
