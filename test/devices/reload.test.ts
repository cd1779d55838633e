/** Nothing outlives dispose(): loads, and loads that fail in the middle, leave neither threads nor memory behind. */
import { execFile } from "node:child_process"
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { build } from "esbuild"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { compileProgram } from "../../compiler/compile.js"
import { loadModel } from "../../compiler/frontend/load.js"
import type { Model } from "../../dsl/index.js"
import { present } from "../generate/model.js"
import { runs } from "../laws/settings.js"

const folder = mkdtempSync(join(tmpdir(), "weft-reload-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Prints the threads of the process and the bytes left on the device after each round; every other load fails with its second weight. */
const script = `
  import { readdirSync, readFileSync } from "node:fs"
  import { createWasmDevice } from "./runtime/devices/wasm/device.js"
  import { createWebgpuDevice } from "./runtime/devices/webgpu/device.js"
  import { load } from "./runtime/generate/load.js"
  const [file, kind, rounds] = JSON.parse(process.env.WEFT_RELOAD)
  const artifact = JSON.parse(readFileSync(file, "utf8"))
  const settle = async () => { for (let i = 0; i < 3; i++) { gc(); await new Promise((r) => setTimeout(r, 20)) } }
  const found = []
  for (let round = 0; round < Number(rounds); round++) {
    const device = kind === "wasm" ? await createWasmDevice({ threads: 3 }) : await createWebgpuDevice()
    let reads = 0
    const read = async (_w, _at, length) => {
      if (round % 2 === 1 && ++reads === 2) throw new Error("no such file any more")
      return new Uint8Array(length)
    }
    try {
      const model = await load(artifact, { device, weights: { read } })
      await model.generate([1, 2, 3], { maxTokens: 3, temperature: 0 })
      model.dispose()
    } catch (error) {
      if (round % 2 === 0) throw error
    }
    const left = device.counters.allocatedBytes
    device.dispose()
    await settle()
    found.push({ left, threads: readdirSync("/proc/self/task").length, rss: process.memoryUsage().rss })
  }
  console.log(JSON.stringify(found))
`

let program: string
beforeAll(async () => {
  const { outputFiles } = await build({
    stdin: { contents: script, resolveDir: process.cwd(), loader: "ts" },
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    platform: "node",
  })
  program = outputFiles[0]!.text
})

for (const kind of ["wasm", "webgpu"] as const) {
  const here = existsSync("/proc/self/task") && (await present(kind))
  describe.skipIf(!here)(kind, () => {
    test("loads that work and loads that fail in turn", async () => {
      const { module } = await loadModel("test/generate/stateful-model.ts")
      const configured = (module.model as Model).configure({ context: 24, vocab: 7, layers: ["total", "cache"] })
      const { artifact } = compileProgram(configured, "stateful", { target: kind, chunk: 5, storage: () => "f32" })
      const file = join(folder, `${kind}.json`)
      writeFileSync(file, JSON.stringify(artifact))
      const rounds = Math.max(12, runs(12))
      const { stdout } = await promisify(execFile)(
        process.execPath,
        ["--expose-gc", "--input-type=module", "--eval", program],
        { env: { ...process.env, WEFT_RELOAD: JSON.stringify([file, kind, rounds]) } },
      )
      const found: readonly { left: number; threads: number; rss: number }[] = JSON.parse(stdout)
      expect(found.map((f) => f.left)).toEqual(Array(rounds).fill(0))
      const warm = found[3]!
      const last = found.at(-1)!
      // A collection may lag behind by one device, which is two threads.
      expect(last.threads).toBeLessThanOrEqual(warm.threads + 2)
      // What drivers and collections keep for a while comes and goes; what is lost stays: the least of the last rounds counts.
      const least = Math.min(...found.slice(-6).map((f) => f.rss))
      expect(least).toBeLessThan(warm.rss + rounds * (1 << 20) + (24 << 20))
    })
  })
}
