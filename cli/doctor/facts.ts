/** What this machine has for each device: libraries and where they were looked for, hardware, compilers, and what keeps it from being used. */
import { availableParallelism } from "node:os"
import type { Compiler } from "../../runtime/devices/cuda/compilers/compiler.js"
import { hasKoffi, refusalOf } from "../../runtime/devices/cuda/compilers/find.js"
import { nvccAt, nvccVersion } from "../../runtime/devices/cuda/compilers/nvcc.js"
import { nvrtcAt, nvrtcVersion } from "../../runtime/devices/cuda/compilers/nvrtc.js"
import { versionText } from "../../runtime/devices/cuda/driver.js"
import { type CudaFacts, cudaDevices } from "../../runtime/devices/cuda/facts.js"
import { findLibrary, type LibraryName, libraryVariables } from "../../runtime/devices/cuda/libraries.js"
import { hasMultiplyAdd } from "../../runtime/devices/wasm/module.js"
import { createWebgpuDevice, type WebgpuAdapterInfo } from "../../runtime/devices/webgpu/device.js"
import { thrownText } from "../../runtime/errors.js"
import { cacheFolder } from "../../runtime/kept-files.js"
import { chooseDevice } from "../device.js"

/** A library or a program. */
export interface LibraryFacts {
  /** The variable that names it. */
  readonly variable: string
  readonly path?: string
  readonly version?: string
  /** Everything that was looked at, in order. */
  readonly looked: readonly string[]
  /** What keeps a file that is there from being used. */
  readonly problem?: string
}

export interface MachineFacts {
  readonly cuda: {
    /** There is a card, and kernels can be compiled for it. */
    readonly usable: boolean
    readonly driver: LibraryFacts
    readonly cards: readonly CudaFacts[]
    /** A compiler that does not know the first card has that for a problem. */
    readonly nvrtc: LibraryFacts
    readonly nvcc: LibraryFacts
    /** Texts that NVRTC compiles at a time: on Node's own threads, whose number is fixed when a process starts. */
    readonly textsAtATime: number
    /** Whether the package that calls libraries is installed. */
    readonly koffi: boolean
  }
  readonly webgpu: {
    /** There is an adapter that is hardware. */
    readonly usable: boolean
    readonly adapter?: WebgpuAdapterInfo & { readonly software: boolean; readonly bindingBytes: number }
    readonly problem?: string
  }
  readonly wasm: { readonly usable: true; readonly processors: number; readonly multiplyAdd: boolean }
  /** What is taken where no device is named. */
  readonly auto: { readonly device: string; readonly description: string; readonly reason: string }
  /** Where compiled models and kernels are kept. */
  readonly cache: string
}

/** @param experimentalGpu whether WebGPU is asked for what is experimental */
export async function machineFacts(experimentalGpu = false): Promise<MachineFacts> {
  const chosen = await chooseDevice("auto", undefined, undefined, experimentalGpu)
  chosen.device.dispose()
  const { kind, description } = chosen.device
  return {
    cuda: await cudaFacts(),
    webgpu: await webgpuFacts(experimentalGpu),
    wasm: { usable: true, processors: availableParallelism(), multiplyAdd: hasMultiplyAdd() },
    auto: { device: kind, description, reason: chosen.reason },
    cache: cacheFolder(),
  }
}

async function cudaFacts(): Promise<MachineFacts["cuda"]> {
  let cards: readonly CudaFacts[] = []
  const driver = await libraryFacts("driver", async () => {
    cards = await cudaDevices()
    return cards[0] === undefined ? undefined : versionText(cards[0].driver)
  })
  const nvrtc = await compilerFacts("nvrtc", nvrtcVersion, nvrtcAt, cards)
  const nvcc = await compilerFacts("nvcc", nvccVersion, nvccAt, cards)
  const isReady = (library: LibraryFacts) => library.path !== undefined && library.problem === undefined
  const usable = cards.length > 0 && (isReady(nvrtc) || isReady(nvcc))
  const textsAtATime = Math.min(availableParallelism(), Number(process.env.UV_THREADPOOL_SIZE ?? threadsOfNode))
  return { usable, driver, cards, nvrtc, nvcc, textsAtATime, koffi: hasKoffi() }
}

/** Threads that Node has for work of libraries where nobody says otherwise. */
const threadsOfNode = 4

/** A compiler, tried for the first card. */
async function compilerFacts(
  name: "nvrtc" | "nvcc",
  versionOf: (path: string) => Promise<string | undefined>,
  at: (path: string) => Compiler,
  [card]: readonly CudaFacts[],
): Promise<LibraryFacts> {
  const facts = await libraryFacts(name, versionOf)
  if (facts.path === undefined || facts.problem !== undefined || card === undefined) return facts
  const problem = await refusalOf(at(facts.path), { arch: card.arch, kind: "cubin" })
  return problem === undefined ? facts : { ...facts, problem }
}

async function libraryFacts(
  name: LibraryName,
  versionOf: (path: string) => Promise<string | undefined>,
): Promise<LibraryFacts> {
  const { path, looked } = findLibrary(name)
  const variable = libraryVariables[name]
  if (path === undefined) return { variable, looked }
  try {
    const version = await versionOf(path)
    return { variable, path, looked, ...(version === undefined ? {} : { version }) }
  } catch (error) {
    return { variable, path, looked, problem: thrownText(error).split("\n")[0]! }
  }
}

async function webgpuFacts(experimentalGpu: boolean): Promise<MachineFacts["webgpu"]> {
  try {
    const { adapterInfo, fallback, limits, dispose } = await createWebgpuDevice({ adapter: "any", experimentalGpu })
    dispose()
    const adapter = { ...adapterInfo, software: fallback, bindingBytes: limits.bindingBytes }
    return { usable: !fallback, adapter }
  } catch (error) {
    return { usable: false, problem: thrownText(error).split("\n")[0]! }
  }
}
