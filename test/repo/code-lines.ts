/** Lines that hold code: blanks and comments are not counted, text inside strings is. */
export function codeLines(source: string): number {
  let count = 0;
  let inComment = false;
  let inTemplate = false;
  for (const line of source.split('\n')) {
    let code = false;
    for (let i = 0; i < line.length; i++) {
      const two = line.slice(i, i + 2);
      if (inComment) {
        if (two === '*/') {
          inComment = false;
          i++;
        }
      } else if (inTemplate) {
        code = true;
        if (line[i] === '\\') i++;
        else if (line[i] === '`') inTemplate = false;
      } else if (two === '//') break;
      else if (two === '/*') {
        inComment = true;
        i++;
      } else if (line[i] === '`') {
        inTemplate = true;
        code = true;
      } else if (line[i] === "'" || line[i] === '"') {
        code = true;
        i = endOfString(line, i);
      } else if (line[i] !== ' ' && line[i] !== '\t') code = true;
    }
    if (code) count++;
  }
  return count;
}

function endOfString(line: string, start: number): number {
  for (let i = start + 1; i < line.length; i++) {
    if (line[i] === '\\') i++;
    else if (line[i] === line[start]) return i;
  }
  return line.length;
}
