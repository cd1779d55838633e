/**
 * The compilers of this machine: NVRTC, which compiles several texts at once in this process, then nvcc.
 *
 *     NVRTC is there and works                     →   NVRTC
 *     it cannot be loaded, or is older than the    →   nvcc, and a warning that says why
 *     card, and nvcc is there
 *     neither                                      →   an error with the places that were looked at
 */
import { createRequire } from "node:module"
import { thrownText, WeftError } from "../../../errors.js"
import { findLibrary, type LibrarySearch, libraryVariables } from "../libraries.js"
import type { Binary } from "./architectures.js"
import type { Compiler } from "./compiler.js"
import { nvccAt } from "./nvcc.js"
import { nvrtcAt } from "./nvrtc.js"

export interface CompilerSearch {
  /** In the order of preference. Each is loaded when it is first used. */
  readonly compilers: readonly Compiler[]
  /** Where was looked. */
  readonly searches: readonly LibrarySearch[]
}

export function findCompilers(): CompilerSearch {
  const [nvrtc, nvcc] = [findLibrary("nvrtc"), findLibrary("nvcc")]
  const compilers = [
    ...(nvrtc.path === undefined ? [] : [nvrtcAt(nvrtc.path)]),
    ...(nvcc.path === undefined ? [] : [nvccAt(nvcc.path)]),
  ]
  return { compilers, searches: [nvrtc, nvcc] }
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

/** What every compiler makes a binary of that can make one at all. */
const nothing = 'extern "C" __global__ void nothing() {}\n'

const refusals = new WeakMap<Compiler, Map<string, Promise<string | undefined>>>()

/** Why a compiler makes no binaries of a kind, in a line: it cannot be run or loaded, or came before the architecture. Undefined where it does. */
export function refusalOf(compiler: Compiler, to: Binary): Promise<string | undefined> {
  const known = refusals.get(compiler) ?? new Map<string, Promise<string | undefined>>()
  refusals.set(compiler, known)
  const key = `${to.arch} ${to.kind}`
  const refusal = known.get(key) ?? askedFor(compiler, to)
  known.set(key, refusal)
  return refusal
}

async function askedFor(compiler: Compiler, to: Binary): Promise<string | undefined> {
  try {
    const { image, log } = await compiler.compile(nothing, to)
    if (image !== undefined) return undefined
    return `${compiler.description} does not compile for ${to.arch}: ${log.split("\n")[0]}`
  } catch (error) {
    return thrownText(error).split("\n")[0]
  }
}

/** A compiler that is taken in the place of others. */
export interface UsableCompiler {
  readonly compiler: Compiler
  /** Why not those before it. */
  readonly passed: readonly string[]
}

/**
 * The first compiler that makes all of these binaries; the last one where none does, whose errors say more.
 *
 * @throws WeftError `cuda/missing` where there is none
 */
export async function compilerFor(
  binaries: readonly Binary[],
  { compilers, searches }: CompilerSearch = findCompilers(),
): Promise<UsableCompiler> {
  const passed: string[] = []
  for (const [i, compiler] of compilers.entries()) {
    if (i === compilers.length - 1) return { compiler, passed }
    const found = await Promise.all(binaries.map((to) => refusalOf(compiler, to)))
    const refusal = found.find((why) => why !== undefined)
    if (refusal === undefined) return { compiler, passed }
    passed.push(refusal)
  }
  throw new WeftError("cuda/missing", "no compiler of CUDA C++ was found on this machine", {
    hint: missingCompiler(searches),
  })
}

/** What is said where a compiler is passed over. */
export const passedText = (why: string, { description }: Compiler): string => `${why}; ${description} compiles instead`
