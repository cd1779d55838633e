/** weft tune as it is run, on small programs and with little time. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import { loadProgram } from "../../cli/node.js"
import { tunedName } from "../../cli/tuned.js"
import { createWasmDevice } from "../../runtime/devices/wasm/device.js"
import { present } from "../generate/model.js"
import { root } from "../support/goldens.js"
import { weft, weftHere } from "./run.js"

/** A product whose schedule has much to choose. */
const product = `import { defineProgram, dot, input } from "../../dsl/index.js"

export const program = defineProgram({
  inputs: { a: input({ i: 64, k: 64 }), b: input({ k: 64, j: 64 }) },
  outputs: { c: ["i", "j"] },
  run: ({ a, b }) => ({ c: dot(a, b, "k") }),
})
`

let folder: string
beforeAll(async () => {
  // Inside of the package, whose own modules it imports.
  await mkdir(join(root, ".weft"), { recursive: true })
  folder = await mkdtemp(join(root, ".weft", "tune-"))
  await writeFile(join(folder, "product.ts"), product)
})
afterAll(() => rm(folder, { recursive: true }))

test("a program's kernels are measured; what is better is written, and used", async () => {
  const [file, out] = [join(folder, "product.ts"), join(folder, "tuned.json")]
  const { code, stdout, stderr } = await weft([
    "tune",
    file,
    "--device",
    "wasm",
    "--budget",
    "3",
    "--json",
    "--out",
    out,
  ])
  expect({ code, stderr }).toMatchObject({ code: 0, stderr: expect.stringContaining(out) })
  const { kernels, entries } = JSON.parse(stdout)
  expect(kernels).toHaveLength(1)
  expect(kernels[0]).toMatchObject({ share: 1, problems: 0, heuristicMicroseconds: expect.any(Number) })
  expect(kernels[0].tried).toBeGreaterThan(1)
  expect(kernels[0].tried).toBeLessThanOrEqual(kernels[0].choices)
  expect(entries).toMatchObject([{ entry: "run" }])
  const written = await readFile(out, "utf8").catch(() => undefined)
  expect(written !== undefined).toBe(kernels[0].better)
  if (written === undefined) return
  expect(Object.keys(JSON.parse(written).kernels)).toEqual([kernels[0].key])
  const count = Float32Array.from({ length: 64 * 64 }, (_, i) => (i % 7) - 3)
  const results = []
  for (const tuned of [out, false] as const) {
    using program = await loadProgram(file, { device: "wasm", threads: 1, cache: false, tuned })
    results.push((await program.run({ a: count, b: count })).c!.data)
  }
  expect(results[0]).toEqual(results[1])
})

test("without --json there is a table, with the sum of each entry", async () => {
  const out = join(folder, "table.json")
  const { code, stdout } = await weftHere([
    "tune",
    join(folder, "product.ts"),
    "--device",
    "wasm",
    "--budget",
    "0.2",
    "--out",
    out,
  ])
  expect(code).toBe(0)
  expect(stdout).toMatch(
    /^kernel +share +heuristic +best +ratio +tried\nk0\S* +100 % +[\d.]+ µs +[\d.]+ µs +[\d.]+ +\d+ of \d+\nall of run /,
  )
})

test("on WebGPU, too", async () => {
  if (!(await present("webgpu"))) return
  const out = join(folder, "webgpu.json")
  const args = ["tune", join(folder, "product.ts"), "--device", "webgpu", "--budget", "0.5", "--json", "--out", out]
  const { code, stdout, stderr } = await weftHere(args)
  expect({ code, stderr }).toMatchObject({ code: 0 })
  expect(JSON.parse(stdout).kernels[0]).toMatchObject({ problems: 0 })
})

test.each([
  [["--budget", "0"], 2, "--budget takes a number of seconds above 0"],
  [["--kernels", "("], 2, '--kernels takes a regular expression, not "("'],
  [["--entries", "walk"], 2, "--entries: there is no entry 'walk'; there are run"],
])("%j is refused", async (args, code, message) => {
  const ended = await weftHere(["tune", join(folder, "product.ts"), "--device", "wasm", ...args])
  expect(ended).toMatchObject({ code, stdout: "", stderr: expect.stringContaining(message) })
})

test("a named file that is missing or broken is refused", async () => {
  const file = join(folder, "product.ts")
  const options = { device: "wasm", threads: 1, cache: false } as const
  await expect(loadProgram(file, { ...options, tuned: join(folder, "none.json") })).rejects.toThrow("there is no file")
  await writeFile(join(folder, "broken.json"), '{ "format": 7 }')
  await expect(loadProgram(file, { ...options, tuned: join(folder, "broken.json") })).rejects.toThrow("format is 7")
})

test("the file of a device is named after what it runs on", async () => {
  const device = await createWasmDevice({ threads: 1 })
  expect(tunedName(device)).toMatch(/^wasm-[a-z0-9-]+$/)
  const webgpu = { kind: "webgpu", adapterInfo: { vendor: "NVIDIA", architecture: "hopper", matrices: {} } }
  expect(tunedName({ ...device, ...webgpu } as unknown as typeof device)).toBe("webgpu-nvidia-hopper")
  device.dispose()
})
