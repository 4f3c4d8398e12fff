/** A word of a command line as a shell reads it, so that what a server names stays one word where it is pasted. */
export function quote(word: string): string {
  return /^[\w./:@%+=,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
