/**
 * nvcc: CUDA C++ to a binary by a program of CUDA's toolkit, which asks the machine's C++ compiler to read the text first.
 *
 * Each run has a folder of its own that nobody else can read, and of the environment nothing but a search path: the toolkit's folder and the
 * system's. It is ended when it takes far longer than any text does.
 */
import { type ExecFileException, execFile } from "node:child_process"
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { type ErrorCode, WeftError } from "../../../errors.js"
import { identityOf } from "../libraries.js"
import type { Binary } from "./architectures.js"
import { atATime, type Compiled, type Compiler, languageOptions, targetOption } from "./compiler.js"
import { compileWithoutSpills, tellOfSpills } from "./residency.js"

/** More than what is said of all kernels of an artifact. */
const mostOutputBytes = 64 << 20

/**
 * Minutes that a run may take: all kernels of a model in one text take one or two, and several times as long beside much else. One that waits for
 * ever, as on a disk that is gone, is to be told.
 */
const patience = 30

export interface NvccOptions {
  /** For the program, beside those that all texts are compiled with. */
  readonly more?: readonly string[]
  /** Minutes that a run may take. */
  readonly minutes?: number
}

/** The compiler in a program's file. */
export function nvccAt(path: string, { more = [], minutes = patience }: NvccOptions = {}): Compiler {
  // What it calls to make binaries; the machine's C++ compiler reads the text only, which includes nothing.
  const parts = [path, join(dirname(path), "ptxas"), join(dirname(path), "..", "nvvm", "bin", "cicc")]
  const given = { path, more, minutes }
  return {
    description: `nvcc (${path})`,
    identity: `nvcc ${parts.map(identityOf).join(" ")} ${more.join(" ")}`,
    compile: (text, binary) =>
      compileWithoutSpills(text, binary, (wanted) => atATime(() => compileWith(given, wanted, binary))),
  }
}

type Given = Required<NvccOptions> & { readonly path: string }

async function compileWith({ path, more, minutes }: Given, text: string, binary: Binary): Promise<Compiled> {
  // mkdtemp makes folders of mode 0700.
  const folder = await mkdtemp(join(tmpdir(), "weft-nvcc-"))
  try {
    const { kind } = binary
    const [from, to] = [join(folder, "kernels.cu"), join(folder, `kernels.${kind}`)]
    await writeFile(from, text)
    const options = [`-${kind}`, `-arch=${targetOption(binary)}`, ...languageOptions, tellOfSpills, ...more]
    const { code, said } = await run(path, [...options, "-o", to, from], folder, minutes)
    const log = said.replaceAll(`${folder}/`, "").trim()
    return code === 0 ? { image: imageOf(await readFile(to), kind), log } : { log }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Version as major.minor, of what the program says about itself. */
export async function nvccVersion(path: string): Promise<string | undefined> {
  const { said } = await run(path, ["--version"], tmpdir(), patience)
  return /release (\d+\.\d+)/.exec(said)?.[1]
}

const imageOf = (read: Buffer, kind: "cubin" | "ptx"): Uint8Array =>
  new Uint8Array(kind === "ptx" ? Buffer.concat([read, Buffer.from([0])]) : read)

function run(
  path: string,
  args: readonly string[],
  folder: string,
  minutes: number,
): Promise<{ readonly code: number; readonly said: string }> {
  const env = { PATH: `${dirname(path)}:/usr/bin:/bin`, TMPDIR: folder }
  const limits = { maxBuffer: mostOutputBytes, timeout: 60_000 * minutes, killSignal: "SIGKILL" } as const
  return new Promise((resolve, reject) => {
    execFile(path, [...args], { env, cwd: folder, ...limits }, (error, stdout, stderr) => {
      const said = `${stderr}${stdout}`
      if (error === null) return resolve({ code: 0, said })
      // A number is what the program ended with; what else there is kept it from running, or ended it.
      if (typeof error.code === "number") return resolve({ code: error.code, said })
      reject(ended(path, error, said.trim(), minutes))
    })
  })
}

/** @param said what the program wrote before */
function ended(path: string, error: ExecFileException, said: string, minutes: number): WeftError {
  const [code, what]: [ErrorCode, string] =
    typeof error.signal !== "string"
      ? ["cuda/missing", `cannot be run: ${error.message}`]
      : ["cuda/compile", error.killed ? `was ended after ${minutes} minutes` : `was ended by ${error.signal}`]
  return new WeftError(code, `nvcc at ${path} ${what}${said === "" ? "" : `; it said:\n${said}`}`, {
    hint: "name another one by WEFT_NVCC, or a library by WEFT_NVRTC",
    cause: error,
  })
}
