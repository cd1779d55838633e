/**
 * Sums over long axes on every device, compared with float64: the error is at most (8 + log2 n) · 2^-24 · Σ|x| at every n, for a constant,
 * for numbers of one sign and of both, wherever the sum stands.
 *
 * The schedules of hardware run as WebAssembly, lane after lane, so that they are held to it without such hardware.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { compileProgram } from "../../compiler/compile.js"
import { loadModel } from "../../compiler/frontend/load.js"
import { wasmTarget } from "../../compiler/targets/target.js"
import type { Device } from "../../runtime/devices/device.js"
import { createWasmDevice } from "../../runtime/devices/wasm/device.js"
import { createWebgpuDevice } from "../../runtime/devices/webgpu/device.js"
import { loadProgram, type RunningProgram } from "../../runtime/program.js"
import { available } from "../devices/conformance.js"
import { depthOf, unit } from "../laws/tolerance.js"
import { adapterOf } from "../support/driver.js"
import type * as Programs from "./programs.js"

const present = await available("webgpu", () => createWebgpuDevice({ adapter: "any" }))
const names = ["wasm", "hardware", ...(present ? ["webgpu"] : [])] as const
type On = (typeof names)[number]

const devices = new Map<string, Device>()
let programs: typeof Programs
beforeAll(async () => {
  programs = (await loadModel("test/sums/programs.ts")).module as typeof Programs
  devices.set("wasm", await createWasmDevice({ threads: 2 }))
  if (present) devices.set("webgpu", await createWebgpuDevice({ adapter: "any" }))
})
afterAll(() => {
  for (const device of devices.values()) device.dispose()
})

async function opened(name: keyof typeof Programs, on: On): Promise<RunningProgram> {
  const storage = () => "f32" as const
  if (on !== "hardware") {
    const device = devices.get(on)!
    const target = device.kind
    const { artifact } = compileProgram(programs[name], name, { target, storage, verify: true, ...adapterOf(device) })
    return loadProgram(artifact, { device })
  }
  const adapter = { subgroupSize: 32, workgroupBytes: 49152 }
  const { artifact, kernels } = compileProgram(programs[name], name, {
    target: "webgpu",
    storage,
    verify: true,
    adapter,
  })
  const loops = kernels.map((k) => k.loops)
  const symbols = artifact.symbols.map((s) => s.name)
  const emitted = wasmTarget.emit(loops, symbols)
  const module = Buffer.from(emitted.module).toString("base64")
  return loadProgram(
    { ...artifact, target: "wasm", kernels: emitted.kernels, module },
    { device: devices.get("wasm")! },
  )
}

const contents = {
  constant: () => () => Math.fround(0.1),
  positive: () => random(),
  mixed: () => {
    const next = random()
    return () => Math.fround(next() - 0.5)
  },
}
type Content = keyof typeof contents

function random(): () => number {
  let state = 12345
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.fround((state >>> 8) / 2 ** 24)
  }
}

const filled = (n: number, content: Content): Float32Array => {
  const next = contents[content]()
  const x = new Float32Array(n)
  for (let i = 0; i < n; i++) x[i] = next()
  return x
}

/** The value that a sum of f32 may have: `want` in float64, and what the sum of absolute values allows. */
function held(got: number, want: number, absolute: number, n: number, more = 0): void {
  expect(Math.abs(got - want) / (unit * absolute)).toBeLessThanOrEqual(depthOf(n) + more)
}

/** Σ f(i) and Σ |f(i)|. */
function folded(n: number, f: (i: number) => number): { readonly sum: number; readonly absolute: number } {
  let [sum, absolute] = [0, 0]
  for (let i = 0; i < n; i++) {
    const x = f(i)
    sum += x
    absolute += Math.abs(x)
  }
  return { sum, absolute }
}

const sizes: Readonly<Record<On, readonly number[]>> = {
  wasm: [1, 31, 1000, 4096, 4097, 10_007, 65_536, 1_000_003, 2 ** 24],
  webgpu: [31, 1000, 10_007, 2 ** 20],
  hardware: [31, 1000, 10_007, 100_003, 2 ** 20],
}

describe.each(names)("%s", (on) => {
  test("a sum, at every size", async () => {
    using program = await opened("total", on)
    for (const n of sizes[on]!)
      for (const content of Object.keys(contents) as Content[]) {
        if (n > 2 ** 20 && content !== "constant") continue
        const x = filled(n, content)
        const { sum, absolute } = folded(n, (i) => x[i]!)
        held((await program.run({ x })).total!.data[0]!, sum, absolute, n)
      }
  })

  test("a sum over two axes, neither of which is long", async () => {
    using program = await opened("square", on)
    const shapes =
      on === "hardware"
        ? ([[301, 331]] as const)
        : ([
            [1500, 1501],
            [2000, 3],
          ] as const)
    for (const [a, b] of shapes) {
      const x = filled(a * b, "constant")
      const { sum, absolute } = folded(x.length, (i) => x[i]!)
      held((await program.run({ x }, { a })).total!.data[0]!, sum, absolute, x.length)
    }
  })

  test("means, variances, squares and logarithms of sums of exponentials of rows", async () => {
    using program = await opened("statistics", on)
    const n = 50_000
    for (const content of ["constant", "positive", "mixed"] as const) {
      const x = filled(2 * n, content)
      const { mean, variance, logSumExp, squares } = await program.run({ x })
      for (let row = 0; row < 2; row++) {
        const at = (i: number) => x[row * n + i]!
        const plain = folded(n, at)
        held(mean!.data[row]!, plain.sum / n, plain.absolute / n, n, 2)
        const square = folded(n, (i) => at(i) ** 2)
        held(squares!.data[row]!, square.sum, square.absolute, n)
        // The mean that deviations are from is rounded, too.
        const m = plain.sum / n
        const spread = folded(n, (i) => (at(i) - m) ** 2)
        const moved = 4 * depthOf(n) * unit * Math.abs(m)
        const allowed =
          (depthOf(n) + 4) * unit * (spread.absolute / n) + moved * Math.sqrt(spread.absolute / n) + moved ** 2
        expect(Math.abs(variance!.data[row]! - spread.sum / n)).toBeLessThanOrEqual(allowed)
        const top = x.subarray(row * n, row * n + n).reduce((p, q) => Math.max(p, q))
        const weights = folded(n, (i) => Math.exp(at(i) - top))
        const error = (depthOf(n) + 16) * unit + 8 * unit * Math.log(weights.sum)
        expect(Math.abs(logSumExp!.data[row]! - top - Math.log(weights.sum))).toBeLessThanOrEqual(
          error + unit * Math.abs(top),
        )
      }
    }
  })

  test("shares of a long row", async () => {
    using program = await opened("shares", on)
    const n = 50_000
    const x = filled(n, "constant")
    const { shares } = await program.run({ x })
    held(shares!.data[0]!, 1 / n, 1 / n, n, 16)
    held(shares!.data[n - 1]!, 1 / n, 1 / n, n, 16)
  })

  test("products over a long axis, of rows and of one", async () => {
    using program = await opened("products", on)
    const n = 12_288
    const rows = on === "hardware" ? 34 : 37
    for (const content of on === "wasm" ? (["constant", "positive", "mixed"] as const) : (["constant"] as const)) {
      const [x, w, u] = [filled(rows * n, content), filled(40 * n, content), filled(n, content)]
      const { y, z } = await program.run({ x, w, u })
      for (const [row, out] of [
        [0, 0],
        [3, 39],
        [rows - 1, 17],
      ] as const) {
        const product = folded(n, (i) => x[row * n + i]! * w[out * n + i]!)
        held(y!.data[row * 40 + out]!, product.sum, product.absolute, n)
        const other = folded(n, (i) => u[i]! * w[out * n + i]!)
        held(z!.data[out]!, other.sum, other.absolute, n)
      }
    }
  })

  test("what the shares of a long axis weigh, folded in one pass", async () => {
    using program = await opened("weighed", on)
    const n = on === "webgpu" ? 20_001 : 60_001
    const rows = 3
    const q = filled(rows * 4, "mixed")
    const k = filled(n * 4, "constant")
    for (const content of ["constant", "mixed"] as const) {
      const v = filled(n * 8, content)
      const { y } = await program.run({ q, k, v })
      for (const [row, out] of [
        [0, 0],
        [2, 7],
      ] as const) {
        const weighed = folded(n, (i) => v[i * 8 + out]! / n)
        held(y!.data[row * 8 + out]!, weighed.sum, weighed.absolute, n, 40)
      }
    }
  })
})
