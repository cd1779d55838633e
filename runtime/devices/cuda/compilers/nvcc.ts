/**
 * nvcc: CUDA C++ to a binary by a program of CUDA's toolkit, which asks the machine's C++ compiler to read the text first.
 *
 * Each run has a folder of its own that nobody else can read, and of the environment nothing but a search path: the toolkit's folder and the
 * system's.
 */
import { execFile } from "node:child_process"
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { WeftError } from "../../../errors.js"
import { identityOf } from "../libraries.js"
import type { Binary } from "./architectures.js"
import { atATime, type Compiled, type Compiler, languageOptions, targetOption } from "./compiler.js"
import { compileWithoutSpills, tellOfSpills } from "./residency.js"

/** More than what is said of all kernels of an artifact. */
const mostOutputBytes = 64 << 20

/** The compiler in a program's file. */
export function nvccAt(path: string, more: readonly string[] = []): Compiler {
  return {
    description: `nvcc (${path})`,
    identity: `nvcc ${identityOf(path)} ${more.join(" ")}`,
    compile: (text, binary) =>
      compileWithoutSpills(text, binary, (given) => atATime(() => compileWith(path, given, binary, more))),
  }
}

async function compileWith(path: string, text: string, binary: Binary, more: readonly string[]): Promise<Compiled> {
  // mkdtemp makes folders of mode 0700.
  const folder = await mkdtemp(join(tmpdir(), "weft-nvcc-"))
  try {
    const { kind } = binary
    const [from, to] = [join(folder, "kernels.cu"), join(folder, `kernels.${kind}`)]
    await writeFile(from, text)
    const options = [`-${kind}`, `-arch=${targetOption(binary)}`, ...languageOptions, tellOfSpills, ...more]
    const { code, said } = await run(path, [...options, "-o", to, from], folder)
    const log = said.replaceAll(`${folder}/`, "").trim()
    return code === 0 ? { image: imageOf(await readFile(to), kind), log } : { log }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Version as major.minor, of what the program says about itself. */
export async function nvccVersion(path: string): Promise<string | undefined> {
  const { said } = await run(path, ["--version"], tmpdir())
  return /release (\d+\.\d+)/.exec(said)?.[1]
}

const imageOf = (read: Buffer, kind: "cubin" | "ptx"): Uint8Array =>
  new Uint8Array(kind === "ptx" ? Buffer.concat([read, Buffer.from([0])]) : read)

function run(path: string, args: readonly string[], folder: string): Promise<{ code: number; said: string }> {
  const env = { PATH: `${dirname(path)}:/usr/bin:/bin`, TMPDIR: folder }
  return new Promise((resolve, reject) => {
    execFile(path, [...args], { env, cwd: folder, maxBuffer: mostOutputBytes }, (error, stdout, stderr) => {
      const said = `${stderr}${stdout}`
      if (error === null) return resolve({ code: 0, said })
      // A number is what the program ended with; what else there is kept it from running.
      if (typeof error.code === "number") return resolve({ code: error.code, said })
      reject(
        new WeftError("cuda/missing", `nvcc at ${path} cannot be run: ${error.message}`, {
          hint: "name another one by WEFT_NVCC, or a library by WEFT_NVRTC",
          cause: error,
        }),
      )
    })
  })
}
