_cvzoo() {
  local word=$words[CURRENT] before=$words[CURRENT-1] command=$words[2] row=$words[3] found
  local saved='"row": "([^"]+)"'
  local -i place=$((CURRENT - 1))
  if [[ $command == data && $place -gt 2 ]]; then command="data $row" row= place=$((place - 1)); fi
  [[ $row != *.json && -f $row/recipe.json ]] && row=$row/recipe.json
  [[ -f $row && $(<"$row") =~ $saved ]] && row=$match[1]
  if ((place == 1)); then found=$(_cvzoo_answer commands)
  elif [[ $word == -* ]]; then found="$(_cvzoo_answer "command $command") $(_cvzoo_answer "row $row")"
  elif ((place == 2)); then found=$(_cvzoo_answer "after $command")
  else found=$(_cvzoo_answer "value $before")
  fi
  compadd -- ${=found} || _files
}
if [[ $funcstack[1] == _cvzoo ]]; then _cvzoo; else compdef _cvzoo cvzoo; fi
