_cvzoo() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]} row=${COMP_WORDS[2]}
  local place=$COMP_CWORD saved='"row": "([^"]+)"' found
  if [[ $command == data && $place -gt 2 ]]; then command="data $row" row= place=$((place - 1)); fi
  [[ $row != *.json && -f $row/recipe.json ]] && row=$row/recipe.json
  [[ -f $row && $(<"$row") =~ $saved ]] && row=${BASH_REMATCH[1]}
  if ((place == 1)); then found=$(_cvzoo_answer commands)
  elif [[ $word == -* ]]; then found="$(_cvzoo_answer "command $command") $(_cvzoo_answer "row $row")"
  elif ((place == 2)); then found=$(_cvzoo_answer "after $command")
  else found=$(_cvzoo_answer "value $before")
  fi
  COMPREPLY=($(compgen -W "$found" -- "$word"))
}
complete -o bashdefault -o default -F _cvzoo cvzoo
