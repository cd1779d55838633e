/** weft doctor: what is there, where it was looked for, and what would help. */
import { afterEach, expect, test, vi } from "vitest"
import { adviceFor, doctorText } from "../../cli/doctor/doctor.js"
import type { MachineFacts } from "../../cli/doctor/facts.js"
import type { MatrixSupport } from "../../runtime/matrices.js"
import { weftHere } from "./run.js"

afterEach(() => vi.unstubAllEnvs())

test("on this machine: each device, each library with the places that were looked at, and what auto takes", async () => {
  vi.stubEnv("WEFT_CUDA_DRIVER", "/nowhere/libcuda.so.1")
  vi.stubEnv("WEFT_NVRTC", "")
  const { code, stdout } = await weftHere(["doctor", "--json"])
  expect(code).toBe(0)
  const facts: MachineFacts & { readonly advice: readonly string[] } = JSON.parse(stdout)
  expect(facts.cuda).toMatchObject({
    usable: false,
    koffi: true,
    cards: [],
    driver: { variable: "WEFT_CUDA_DRIVER", looked: ["WEFT_CUDA_DRIVER=/nowhere/libcuda.so.1: no such file"] },
    nvrtc: { variable: "WEFT_NVRTC", looked: ["WEFT_NVRTC=: none is looked for"] },
  })
  expect(facts.cuda.nvcc.looked.length).toBeGreaterThan(0)
  expect(facts.wasm.usable).toBe(true)
  expect(facts.webgpu.adapter ?? facts.webgpu.problem).toBeDefined()
  expect(["wasm", "webgpu"]).toContain(facts.auto.device)
  expect(facts.auto.reason).toContain("no CUDA driver was found")
  expect(facts.advice).toEqual(adviceFor(facts))
  expect(facts.advice[0]).toMatch(/^cuda: install NVIDIA's driver, or name its library: WEFT_CUDA_DRIVER=/)
})

const library = (variable: string, path: string, version: string) => ({ variable, path, version, looked: [path] })
const h200 = {
  name: "NVIDIA H200",
  arch: "sm_90a",
  driver: 13000,
  multiprocessors: 132,
  l2Bytes: 50 * 2 ** 20,
  sharedBytes: 227 * 1024,
  sharedBytesOfMultiprocessor: 228 * 1024,
  registersOfMultiprocessor: 65536,
  memory: 140 * 2 ** 30,
}
const ready: MachineFacts = {
  cuda: {
    usable: true,
    driver: library("WEFT_CUDA_DRIVER", "/usr/lib64/libcuda.so.1", "13.0"),
    cards: [h200],
    nvrtc: library("WEFT_NVRTC", "/usr/local/cuda/lib64/libnvrtc.so.13", "13.0"),
    nvcc: { variable: "WEFT_NVCC", looked: ["/usr/local/cuda/bin/nvcc"] },
    koffi: true,
    textsAtATime: 16,
  },
  webgpu: { usable: false, problem: "this environment has no WebGPU" },
  wasm: { usable: true, processors: 16, multiplyAdd: true },
  auto: { device: "cuda", description: "NVIDIA H200, sm_90a", reason: "a CUDA driver and NVRTC are present" },
  cache: "/home/me/.cache/weft",
}

test("a machine with a card, in words", () => {
  expect(
    doctorText(ready, adviceFor(ready)),
  ).toBe(`auto            NVIDIA H200, sm_90a (a CUDA driver and NVRTC are present)

cuda            usable
  driver        13.0, /usr/lib64/libcuda.so.1
  card 0        NVIDIA H200, sm_90a, 132 multiprocessors, 140.0 GiB, 50 MiB of cache, 227 KiB shared by a block
  koffi         installed
  nvrtc         13.0, /usr/local/cuda/lib64/libnvrtc.so.13
  nvcc          not found; looked for
                  /usr/local/cuda/bin/nvcc
  faults        of a kernel end CUDA for their process: start a new one; other devices work on
webgpu          not usable
  adapter       this environment has no WebGPU
wasm            usable
  processors    16
  products      fused with their sums
cache           /home/me/.cache/weft

What would make more of it usable:
  webgpu: npm install webgpu
`)
})

test("subgroup matrices, in words: not asked for, used, or why not", () => {
  const adapter = {
    description: "nvidia hopper",
    vendor: "nvidia",
    architecture: "hopper",
    subgroupMinSize: 32,
    subgroupMaxSize: 32,
    limits: {
      f16: true,
      invocations: 1024,
      workgroupBytes: 49152,
      storageBuffers: 16,
      subgroups: true,
      subgroupSize: 32,
    },
    software: false,
    bindingBytes: 2 ** 31 - 4,
  }
  const rowsOf = (matrices: MatrixSupport) => {
    const text = doctorText({ ...ready, webgpu: { usable: true, adapter: { ...adapter, matrices } } }, [])
    return text.slice(text.indexOf("webgpu "), text.indexOf("wasm "))
  }
  const offered = ["f16 → f32 16 × 16 × 16", "f16 → f16 16 × 16 × 16"]
  expect(rowsOf({ asked: false, offered: [] })).toBe(`webgpu          usable
  adapter       nvidia hopper
                subgroups of 32 lanes, f16, 1024 threads and 48 KiB a workgroup, bindings of 2048 MiB
  matrices      not asked for: --experimental-gpu asks for subgroup matrices
`)
  expect(rowsOf({ asked: true, offered, spelling: "template" })).toContain(`
  matrices      used: f16 → f32 16 × 16 × 16, right in their test
                offered: f16 → f32 16 × 16 × 16, f16 → f16 16 × 16 × 16
`)
  expect(rowsOf({ asked: true, offered, refused: "7 of 4096 results of their test are wrong" })).toContain(`
  matrices      not used: 7 of 4096 results of their test are wrong
                offered: `)
})

test("doctor asks for them where it is told to", async () => {
  const asked = async (...flags: string[]) => {
    const facts: MachineFacts = JSON.parse((await weftHere(["doctor", "--json", ...flags])).stdout)
    return facts.webgpu.adapter?.matrices
  }
  const [without, found] = [await asked(), await asked("--experimental-gpu")]
  if (found === undefined) expect(without).toBeUndefined()
  else {
    expect(without).toMatchObject({ asked: false })
    expect(found.asked).toBe(true)
    expect(found.spelling ?? found.refused).toBeDefined()
  }
})

test("threads that keep NVRTC from using all processors are told", () => {
  const text = doctorText({ ...ready, cuda: { ...ready.cuda, textsAtATime: 4 } }, [])
  expect(text).toContain(
    "libnvrtc.so.13\n                compiles 4 texts at a time; 16 with UV_THREADPOOL_SIZE=16 in the environment\n  nvcc",
  )
})

test("advice: a compiler, or one on another machine; a driver that is older than the compiler; koffi", () => {
  const nothing = { variable: "WEFT_NVRTC", looked: [] }
  const adviceOf = (cuda: Partial<MachineFacts["cuda"]>) =>
    adviceFor({ ...ready, cuda: { ...ready.cuda, ...cuda } }).filter((line) => line.startsWith("cuda: "))
  expect(adviceOf({})).toEqual([])
  const noGpu = {
    ...ready.cuda.driver,
    problem: "cuInit: CUDA_ERROR_NO_DEVICE (100), no CUDA-capable device is detected",
  }
  expect(adviceOf({ driver: noGpu, cards: [] })).toEqual([expect.stringContaining("is there a GPU that this user")])
  const broken = { ...ready.cuda.nvrtc, problem: "cannot be loaded" }
  const nvcc = library("WEFT_NVCC", "/usr/local/cuda/bin/nvcc", "13.0")
  expect(adviceOf({ nvrtc: broken, nvcc })).toEqual([
    "cuda: NVRTC cannot be used; nvcc compiles instead, and takes longer: name another NVRTC by WEFT_NVRTC",
  ])
  expect(adviceOf({ nvrtc: nothing })).toEqual([
    expect.stringContaining("install the CUDA toolkit, or NVRTC alone"),
    expect.stringContaining("weft compile … --target cuda --arch sm_90a"),
  ])
  expect(adviceOf({ nvrtc: { ...ready.cuda.nvrtc, problem: "it is no library" } })).toHaveLength(2)
  expect(adviceOf({ driver: { ...ready.cuda.driver, version: "12.8" } })).toEqual([
    expect.stringContaining("the driver takes binaries of CUDA 12.8, NVRTC is 13.0"),
  ])
  expect(adviceOf({ koffi: false })).toEqual([expect.stringContaining("npm install koffi")])
})
