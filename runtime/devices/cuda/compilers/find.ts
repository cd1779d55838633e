/** The compiler of this machine: NVRTC, which compiles several texts at once in this process, else nvcc. */
import { createRequire } from "node:module"
import { WeftError } from "../../../errors.js"
import { findLibrary, type LibrarySearch, libraryVariables } from "../libraries.js"
import type { Compiler } from "./compiler.js"
import { nvccAt } from "./nvcc.js"
import { nvrtcAt } from "./nvrtc.js"

export interface CompilerSearch {
  /** Loaded when it is first used. */
  readonly compiler?: Compiler
  /** Where was looked, in the order of preference. */
  readonly searches: readonly LibrarySearch[]
}

export function findCompiler(): CompilerSearch {
  const [nvrtc, nvcc] = [findLibrary("nvrtc"), findLibrary("nvcc")]
  const searches = [nvrtc, nvcc]
  if (nvrtc.path !== undefined && hasKoffi()) return { compiler: nvrtcAt(nvrtc.path), searches }
  return nvcc.path === undefined ? { searches } : { compiler: nvccAt(nvcc.path), searches }
}

/** Whether the package that calls libraries is there, without loading it. */
export function hasKoffi(): boolean {
  try {
    createRequire(import.meta.url).resolve("koffi")
    return true
  } catch {
    return false
  }
}

/** Where was looked for what is missing, and what helps. */
export function missingCompiler(searches: readonly LibrarySearch[]): string {
  const looked = searches.map((search) => `${search.name}: ${search.looked.join(", ")}`).join("; ")
  const variables = searches.map((search) => libraryVariables[search.name]).join(" or ")
  return `looked for ${looked}; install CUDA's NVRTC or nvcc, or name one by ${variables}`
}

/** @throws WeftError `cuda/missing` */
export function neededCompiler({ compiler, searches }: CompilerSearch = findCompiler()): Compiler {
  if (compiler !== undefined) return compiler
  throw new WeftError("cuda/missing", "no compiler of CUDA C++ was found on this machine", {
    hint: missingCompiler(searches),
  })
}
