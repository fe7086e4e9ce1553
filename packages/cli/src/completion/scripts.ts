/** What each shell sources. All of them ask `freehold __complete WORD…`, the last word being the one under the cursor. */
export const scripts: Record<string, string> = {
  bash: `# freehold completion for bash: source <(freehold completion bash)
_freehold() {
  local words=("\${COMP_WORDS[@]:1:COMP_CWORD}")
  COMP_WORDBREAKS="\${COMP_WORDBREAKS//:/}"
  mapfile -t COMPREPLY < <(freehold __complete -- "\${words[@]}" 2>/dev/null)
}
complete -o default -F _freehold freehold
`,
  zsh: `#compdef freehold
# freehold completion for zsh: source <(freehold completion zsh)
_freehold() {
  local -a found
  found=("\${(@f)$(freehold __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  [[ -n "\${found[1]}" ]] && compadd -- "\${found[@]}" || _files
}
compdef _freehold freehold
`,
  fish: `# freehold completion for fish: freehold completion fish | source
complete -c freehold -f -a '(freehold __complete -- (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'
`,
}
