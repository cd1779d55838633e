/**
 * NVRTC: CUDA C++ to a binary by calls of a library, which needs no GPU. A program is compiled on a thread of its own, so that several are at once.
 *
 *     libnvrtc.so.13                    loaded from where it lies
 *     libnvrtc-builtins.so.13.0         from the same folder, before the first program, for all to see: NVRTC asks the loader for it by name
 */
import { readdirSync } from "node:fs"
import { dirname, join } from "node:path"
import { WeftError } from "../../../errors.js"
import { type Koffi, loadKoffi } from "../foreign.js"
import { identityOf } from "../libraries.js"
import { atATime, type Compiled, type Compiler, languageOptions, targetOption } from "./compiler.js"
import { compileWithoutSpills, tellOfSpills } from "./residency.js"

const loaded = new Map<string, Promise<Calls>>()

/** The compiler in a library's file; it is loaded at the first text. */
export function nvrtcAt(path: string): Compiler {
  return {
    description: `NVRTC (${path})`,
    identity: `nvrtc ${[path, ...builtInsOf(path)].map(identityOf).join(" ")}`,
    async compile(text, to) {
      const options = [`--gpu-architecture=${targetOption(to)}`, ...languageOptions, tellOfSpills]
      const calls = await callsOf(path)
      return compileWithoutSpills(text, to, (given) => atATime(() => compileWith(calls, given, options, to.kind)))
    },
  }
}

/** The libraries beside it that it compiles with. */
function builtInsOf(path: string): readonly string[] {
  const folder = dirname(path)
  try {
    const names = readdirSync(folder).filter((name) => name.startsWith("libnvrtc-builtins"))
    return names.sort().map((name) => join(folder, name))
  } catch {
    return []
  }
}

/** Version as major.minor. */
export async function nvrtcVersion(path: string): Promise<string> {
  return (await callsOf(path)).version
}

function callsOf(path: string): Promise<Calls> {
  const calls = loaded.get(path) ?? loadCalls(path)
  loaded.set(path, calls)
  return calls
}

type Program = unknown

interface Calls {
  readonly version: string
  readonly create: (program: Program[], text: string, name: string, headers: number, _: null, __: null) => number
  readonly compile: (program: Program, count: number, options: readonly string[]) => Promise<number>
  readonly destroy: (program: Program[]) => number
  readonly error: (result: number) => string
  readonly log: Bytes
  readonly cubin: Bytes
  readonly ptx: Bytes
}

/** A pair of functions of which one tells how many bytes the other writes. */
type Bytes = (program: Program) => Uint8Array

async function loadCalls(path: string): Promise<Calls> {
  const koffi = await loadKoffi()
  try {
    const library = koffi.load(path)
    const version = versionOf(library)
    try {
      koffi.load(join(dirname(path), `libnvrtc-builtins.so.${version}`), { global: true })
    } catch {
      // In a distribution's folder the loader finds it by itself; elsewhere the first program tells that it is missing.
    }
    const compile = library.func("int nvrtcCompileProgram(void* program, int count, const char** options)")
    return {
      version,
      create: library.func(
        "int nvrtcCreateProgram(_Out_ void** program, const char* text, const char* name, int headers, const char** texts, const char** names)",
      ),
      compile: (program, count, options) =>
        new Promise((resolve, reject) =>
          compile.async(program, count, options, (error: Error | null, result: number) =>
            error === null ? resolve(result) : reject(error),
          ),
        ),
      destroy: library.func("int nvrtcDestroyProgram(_Inout_ void** program)"),
      error: library.func("const char* nvrtcGetErrorString(int result)"),
      log: bytesOf(library, "ProgramLog"),
      cubin: bytesOf(library, "CUBIN"),
      ptx: bytesOf(library, "PTX"),
    }
  } catch (cause) {
    throw new WeftError("cuda/missing", `NVRTC at ${path} cannot be loaded: ${messageOf(cause)}`, {
      hint: "name another one by WEFT_NVRTC, or set it to nothing so that nvcc is used",
      cause,
    })
  }
}

type Library = ReturnType<Koffi["load"]>

function versionOf(library: Library): string {
  const [major, minor] = [[0], [0]]
  library.func("int nvrtcVersion(_Out_ int* major, _Out_ int* minor)")(major, minor)
  return `${major[0]}.${minor[0]}`
}

function bytesOf(library: Library, what: string): Bytes {
  const size = library.func(`int nvrtcGet${what}Size(void* program, _Out_ size_t* bytes)`)
  const get = library.func(`int nvrtcGet${what}(void* program, void* to)`)
  return (program) => {
    const bytes = [0]
    if (size(program, bytes) !== 0) return new Uint8Array(0)
    const found = new Uint8Array(Number(bytes[0]))
    return get(program, found) === 0 ? found : new Uint8Array(0)
  }
}

async function compileWith(
  calls: Calls,
  text: string,
  options: readonly string[],
  kind: "cubin" | "ptx",
): Promise<Compiled> {
  const program: Program[] = [null]
  const made = calls.create(program, text, "kernels.cu", 0, null, null)
  if (made !== 0) return { log: calls.error(made) }
  try {
    const result = await calls.compile(program[0], options.length, options)
    const said = new TextDecoder().decode(calls.log(program[0])).split("\0", 1)[0]!.trim()
    if (result !== 0) return { log: said === "" ? calls.error(result) : said }
    return { image: calls[kind](program[0]), log: said }
  } finally {
    calls.destroy(program)
  }
}

const messageOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause))
