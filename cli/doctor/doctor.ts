/**
 * weft doctor: what this machine has for each device, where it was looked for, and what to install.
 *
 *     cuda            not usable
 *       driver        not found; looked for
 *                       /usr/lib/x86_64-linux-gnu/libcuda.so.1
 *                       …
 *       nvcc          13.0, /usr/local/cuda/bin/nvcc
 *     wasm            2 processors, fused multiply-adds
 */
import { matrixWords } from "../../runtime/devices/webgpu/matrices.js"
import { parse, UsageError } from "../arguments.js"
import { flagsOf } from "../commands.js"
import { write } from "../output.js"
import { type LibraryFacts, type MachineFacts, machineFacts } from "./facts.js"

export async function doctor(args: readonly string[]): Promise<number> {
  const { values, words } = parse(args, flagsOf("doctor"))
  if (words.length > 0) throw new UsageError(`doctor takes no words, but ${JSON.stringify(words[0])} stands there`)
  const facts = await machineFacts(values["experimental-gpu"])
  const advice = adviceFor(facts)
  await write(values.json === true ? `${JSON.stringify({ ...facts, advice })}\n` : doctorText(facts, advice))
  return 0
}

/** What would make more devices usable, a sentence each. */
export function adviceFor({ cuda, webgpu, wasm }: MachineFacts): readonly string[] {
  const { driver, nvrtc, nvcc, cards } = cuda
  const isReady = (library: LibraryFacts) => library.path !== undefined && library.problem === undefined
  const [major, built] = [Number.parseInt(driver.version ?? "", 10), Number.parseInt(nvrtc.version ?? "", 10)]
  return [
    ...(driver.path === undefined
      ? [`cuda: install NVIDIA's driver, or name its library: ${driver.variable}=/path/libcuda.so.1`]
      : []),
    ...(driver.problem !== undefined && cuda.koffi
      ? [
          `cuda: the driver's library does not open: is there a GPU that this user, or this container, may use (docker run --gpus all), and is the system's driver as new as the library?`,
        ]
      : []),
    ...(nvrtc.problem !== undefined && cuda.koffi && isReady(nvcc)
      ? [`cuda: NVRTC cannot be used; nvcc compiles instead, and takes longer: name another NVRTC by ${nvrtc.variable}`]
      : []),
    ...(cuda.koffi ? [] : ["cuda: npm install koffi, which calls the driver and NVRTC"]),
    ...(isReady(nvrtc) || isReady(nvcc)
      ? []
      : [
          `cuda: to compile kernels here, install the CUDA toolkit, or NVRTC alone (pip install nvidia-cuda-nvrtc) and name its library: ${nvrtc.variable}=/path/libnvrtc.so.13`,
          `cuda: or compile models ahead of time on another machine: weft compile … --target cuda --arch ${cards[0]?.arch ?? "sm_90a"}`,
        ]),
    ...(built > major
      ? [
          `cuda: the driver takes binaries of CUDA ${driver.version}, NVRTC is ${nvrtc.version}: should the driver refuse them, update it, or name an older NVRTC by ${nvrtc.variable}`,
        ]
      : []),
    ...(webgpu.usable
      ? []
      : webgpu.problem?.includes("has no WebGPU") === true
        ? ["webgpu: npm install webgpu"]
        : ["webgpu: install the graphics driver of the GPU with its Vulkan part, if there is a GPU"]),
    ...(wasm.multiplyAdd
      ? []
      : ["wasm: node --experimental-wasm-relaxed-simd has fused multiply-adds, as Node 22 has"]),
  ]
}

const indent = 16
const row = (name: string, value: string): string => `${name.padEnd(indent)}${value}\n`

/** The facts for people. */
export function doctorText({ cuda, webgpu, wasm, auto, cache }: MachineFacts, advice: readonly string[]): string {
  const usable = (is: boolean) => (is ? "usable" : "not usable")
  const { adapter } = webgpu
  return [
    row("auto", `${auto.description} (${auto.reason || "nothing else is left"})`),
    "\n",
    row("cuda", usable(cuda.usable)),
    libraryRows("driver", cuda.driver),
    ...cuda.cards.map(cardRow),
    row("  koffi", cuda.koffi ? "installed" : "not installed"),
    libraryRows("nvrtc", cuda.nvrtc),
    textsRow(cuda, wasm.processors),
    libraryRows("nvcc", cuda.nvcc),
    ...(cuda.usable
      ? [row("  faults", "of a kernel end CUDA for their process: start a new one; other devices work on")]
      : []),
    row("webgpu", adapter?.software === true ? "software only: taken where it is named" : usable(webgpu.usable)),
    adapter === undefined ? row("  adapter", webgpu.problem!) : adapterRows(adapter),
    row("wasm", usable(wasm.usable)),
    row("  processors", `${wasm.processors}`),
    row("  products", wasm.multiplyAdd ? "fused with their sums" : "not fused with their sums"),
    row("cache", cache),
    ...(advice.length === 0 ? [] : ["\nWhat would make more of it usable:\n", ...advice.map((line) => `  ${line}\n`)]),
  ].join("")
}

function libraryRows(name: string, { path, version, looked, problem }: LibraryFacts): string {
  const label = `  ${name}`
  if (path === undefined)
    return row(label, "not found; looked for") + looked.map((place) => row("", `  ${place}`)).join("")
  if (problem === undefined) return row(label, `${version ?? "version unknown"}, ${path}`)
  return row(label, problem.includes(path) ? problem : `${path} cannot be used: ${problem}`)
}

/** What keeps NVRTC from using all processors. */
function textsRow({ nvrtc, textsAtATime }: MachineFacts["cuda"], processors: number): string {
  if (nvrtc.version === undefined || nvrtc.problem !== undefined || textsAtATime >= processors) return ""
  return row(
    "",
    `compiles ${textsAtATime} texts at a time; ${processors} with UV_THREADPOOL_SIZE=${processors} in the environment`,
  )
}

function cardRow(card: MachineFacts["cuda"]["cards"][number], ordinal: number): string {
  const { name, arch, multiprocessors, memory, l2Bytes, sharedBytes } = card
  const sizes = [
    `${multiprocessors} multiprocessors`,
    `${(memory / 2 ** 30).toFixed(1)} GiB`,
    `${(l2Bytes / 2 ** 20).toFixed(0)} MiB of cache`,
    `${(sharedBytes / 1024).toFixed(0)} KiB shared by a block`,
  ]
  return row(`  card ${ordinal}`, `${name}, ${arch}, ${sizes.join(", ")}`)
}

function adapterRows(adapter: NonNullable<MachineFacts["webgpu"]["adapter"]>): string {
  const { description, software, limits, subgroupMinSize, subgroupMaxSize, bindingBytes, matrices } = adapter
  const lanes = subgroupMinSize === subgroupMaxSize ? subgroupMinSize : `${subgroupMinSize} to ${subgroupMaxSize}`
  const has = [
    limits.subgroups ? `subgroups of ${lanes} lanes` : "no subgroups",
    limits.f16 ? "f16" : "no f16",
    `${limits.invocations} threads and ${limits.workgroupBytes / 1024} KiB a workgroup`,
    `bindings of ${(bindingBytes / 2 ** 20).toFixed(0)} MiB`,
  ]
  const { asked, offered } = matrices
  return [
    row("  adapter", `${description}${software ? ", software" : ""}`),
    row("", has.join(", ")),
    row(
      "  matrices",
      asked ? matrixWords(matrices) : `${matrixWords(matrices)}: --experimental-gpu asks for subgroup matrices`,
    ),
    ...(offered.length === 0 ? [] : [row("", `offered: ${offered.join(", ")}`)]),
  ].join("")
}
