/**
 * TypeScript's program over files. ts-morph brings the compiler and its libraries, which lie in its own text; its `Project` does not tell
 * modules of ECMAScript from those of CommonJS, which decides what a package's `exports` lead to, so the program is made here.
 */
import { dirname, join } from "node:path"
import { Project, ts } from "ts-morph"
import { createObserver, type Observer } from "./observed.js"

/** Where the libraries lie for ts-morph, on no disk. */
const libraryFolder = "/node_modules/typescript/lib"
let libraries: ReturnType<Project["getModuleResolutionHost"]> | undefined

/** Files by options and path, as they were last: a process that compiles several models parses and binds once what they share. */
const parsed = new Map<string, ts.SourceFile>()
/** A program has some hundred; what is not asked for any more, such as models that lie elsewhere each time, goes. */
const mostParsed = 2000

export const createProgram = (
  files: readonly string[],
  options: ts.CompilerOptions,
  host: ts.CompilerHost = createHost(options),
): ts.Program => ts.createProgram([...files], options, host)

/** @param observer is told of everything that is asked of the disk, but for what lies in a folder, which is asked for the packages of `types` */
export function createHost(options: ts.CompilerOptions, observer: Observer = createObserver()): ts.CompilerHost {
  libraries ??= new Project().getModuleResolutionHost()
  const library = libraries
  const host = ts.createCompilerHost(options)
  const { readFile, getSourceFile } = host
  const { fileExists, directoryExists, realpath } = observer.host
  const bound = JSON.stringify(options)
  const isLibrary = (path: string) => dirname(path) === libraryFolder
  host.getDefaultLibLocation = () => libraryFolder
  host.getDefaultLibFileName = (given) => join(libraryFolder, ts.getDefaultLibFileName(given))
  host.fileExists = (path) => (isLibrary(path) ? library.fileExists(path) : fileExists(path))
  host.directoryExists = directoryExists
  host.realpath = realpath
  host.readFile = (path) => {
    if (isLibrary(path)) return library.readFile(path)
    const text = fileExists(path) ? readFile(path) : undefined
    if (text !== undefined) observer.used(path, text)
    return text
  }
  host.getSourceFile = (path, ...rest) => {
    const key = JSON.stringify([bound, path, rest[0]])
    const known = parsed.get(key)
    parsed.delete(key)
    const holds = known !== undefined && (isLibrary(path) || known.text === host.readFile(path))
    const source = holds ? known : getSourceFile(path, ...rest)
    if (source !== undefined) parsed.set(key, source)
    if (parsed.size > mostParsed) parsed.delete(parsed.keys().next().value!)
    return source
  }
  return host
}
