/**
 * From an artifact to what a driver loads: binaries that were made ahead of time, else its kernels compiled here.
 *
 *     modules: sm_80 cubin, sm_90a cubin       on 9.0   →   the second one, all kernels at once
 *                                              on 12.0  →   each kernel compiled for sm_120, or from the cache
 *                                              on 12.0, without a compiler: error cuda/arch
 *
 * A unit is what compilers are given: the prelude, then one or many kernels, each after a line that gives it its name in the compiler's messages.
 */
import type { ArtifactKernel, ArtifactModule } from "../../../artifact.js"
import { WeftError } from "../../../errors.js"
import type { KernelCode } from "../../device.js"
import { libraryVariables } from "../libraries.js"
import { architectureOf, type Binary, earlyFrom, suitability } from "./architectures.js"
import { firstBinary } from "./cache.js"
import type { Compiler } from "./compiler.js"
import { type CompilerSearch, findCompilers, missingCompiler, passedText } from "./find.js"
import { spillsIn } from "./residency.js"

export interface LoadableModule {
  /** What cuModuleLoadData takes. */
  readonly image: Uint8Array
  /** The kernels in it, by their numbers in the artifact. */
  readonly kernels: readonly number[]
  /**
   * Whether its kernels that say `early` do wait for the launches before them: what was compiled for a GPU without such waits does not, even
   * where the driver brings it to one that has them.
   */
  readonly early: boolean
  /** The symbols of those that keep in memory what registers have no room for, as far as a compiler has said so just now. */
  readonly spilling?: ReadonlySet<string>
}

/** The parts of an artifact that binaries are made of. */
export type Kernels = Pick<KernelCode, "kernels" | "prelude" | "modules" | "isTrial">

export interface ModuleOptions {
  /** The folder of kept binaries, or false for none; the user's when left out. */
  readonly cache?: string | false | undefined
  /** This machine's compilers when left out. */
  readonly search?: CompilerSearch | undefined
  /** Told, once, where one is passed over for the next, and why. */
  readonly onWarning?: ((message: string) => void) | undefined
}

/**
 * What a GPU of this architecture loads.
 *
 * @param arch as `archOf` names it
 * @throws WeftError `cuda/arch` where no binary fits and there is no compiler, `cuda/compile`
 */
export async function loadableModules(
  artifact: Kernels,
  arch: string,
  { cache, search, onWarning = warn }: ModuleOptions = {},
): Promise<readonly LoadableModule[]> {
  const { kernels, modules = [] } = artifact
  const fitting = modules.flatMap((module) => {
    const rank = suitability(module, arch)
    return rank === undefined ? [] : [{ module, rank }]
  })
  const [best] = fitting.sort((a, b) => b.rank - a.rank)
  if (best !== undefined)
    return [{ image: imageOf(best.module), kernels: [...kernels.keys()], early: waits(best.module.arch) }]
  const { compilers, searches } = search ?? findCompilers()
  if (compilers.length === 0) {
    const made = modules.map(({ arch, kind }) => `${arch} (${kind})`).join(", ")
    throw new WeftError("cuda/arch", `the artifact has no binary for ${arch}, and no compiler was found to make one`, {
      hint: `it has ${made === "" ? "none" : made}; ${missingCompiler(searches)}; or compile ahead of time: weft compile … --target cuda --arch ${arch}`,
    })
  }
  const said = new Set<string>()
  const passed = (why: string, next: Compiler) => {
    if (!said.has(why)) onWarning(passedText(why, next))
    said.add(why)
  }
  const folder = artifact.isTrial === true ? false : cache
  // The longest first, so that the last ones are short.
  const order = [...kernels.entries()].sort(([, a], [, b]) => b.source.length - a.source.length)
  return Promise.all(
    order.map(async ([i, kernel]) => {
      const unit = { name: kernel.symbol!, text: unitOf(artifact, [kernel]) }
      const found = await firstBinary(unit, { arch, kind: "cubin" }, compilers, folder, passed)
      if (found.image === undefined) throw refusal([kernel], found.log, arch, found.compiler)
      return { image: found.image, kernels: [i], early: waits(arch), spilling: spillsIn(found.log) }
    }),
  )
}

/** Once a process: every model that is loaded would say the same. */
const warned = new Set<string>()
function warn(message: string): void {
  if (!warned.has(message)) process.emitWarning(message, "Weft")
  warned.add(message)
}

const waits = (arch: string): boolean => (architectureOf(arch)?.capability ?? 0) >= earlyFrom

/** PTX is text, and ends with a zero. */
function imageOf({ base64, kind }: ArtifactModule): Uint8Array {
  const image = Buffer.from(base64, "base64")
  const ended = kind === "cubin" || image.at(-1) === 0
  return new Uint8Array(ended ? image : Buffer.concat([image, Buffer.from([0])]))
}

/**
 * All kernels in one binary for each architecture.
 *
 * @throws WeftError `cuda/compile`, `cuda/arch` where the compiler does not know an architecture
 */
export async function modulesAhead(
  artifact: Kernels,
  binaries: readonly Binary[],
  compiler: Compiler,
): Promise<readonly ArtifactModule[]> {
  const text = unitOf(artifact, artifact.kernels)
  return Promise.all(
    binaries.map(async ({ arch, kind }) => {
      const { image, log } = await compiler.compile(text, { arch, kind })
      if (image === undefined) throw refusal(artifact.kernels, log, arch, compiler)
      return { arch, kind, base64: Buffer.from(image).toString("base64") }
    }),
  )
}

/** The text that is compiled for some kernels of an artifact. */
export function unitOf({ prelude = "" }: Pick<Kernels, "prelude">, kernels: readonly ArtifactKernel[]): string {
  const parts = [["prelude", prelude], ...kernels.map((kernel) => [kernel.symbol!, kernel.source])]
  return parts.map(([name, text]) => `#line 1 "${name}"\n${text!.trimEnd()}\n`).join("")
}

/** Lines of a compiler's log that an error shows. */
const shownLines = 12

/** What NVRTC and nvcc say of an architecture that came after them, or went before. */
const unknownArch = /gpu[ -]architecture/i

/** An error of the kernel that the log tells of, at its place in the model; of the compiler, where it does not know the architecture. */
function refusal(kernels: readonly ArtifactKernel[], log: string, arch: string, { description }: Compiler): WeftError {
  if (unknownArch.test(log.split("\n")[0]!))
    return new WeftError("cuda/arch", `${description} does not compile for ${arch}: ${log}`, {
      hint: `${arch} came after this compiler, or it has given it up: name another one by ${libraryVariables.nvrtc} or ${libraryVariables.nvcc}`,
    })
  const place = /^(?:"?)(\w+)"?\(\d+\): (?:catastrophic )?error/m.exec(log)?.[1]
  const assembled = /(?:entry function|function) '(\w+)'/.exec(log)?.[1]
  const kernel =
    kernels.find(({ symbol }) => symbol === place || symbol === assembled) ??
    (kernels.length === 1 ? kernels[0] : undefined)
  const what = kernel === undefined ? "the kernels do" : `kernel '${kernel.name}' does`
  const lines = log.split("\n")
  const shown =
    lines.slice(0, shownLines).join("\n") +
    (lines.length > shownLines ? `\n… ${lines.length - shownLines} lines more` : "")
  return new WeftError("cuda/compile", `${what} not compile for ${arch} with ${description}:\n${shown}`, {
    span: kernel?.span,
    hint: "the compiler's whole log is the error's cause",
    cause: log,
  })
}
