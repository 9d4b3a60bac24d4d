function __cvzoo
    set -l words (commandline -opc)
    set -l word (commandline -ct)
    set -l place (count $words)
    set -l command $words[2]
    set -l row $words[3]
    if test "$command" = data -a $place -gt 2
        set command "data $row"
        set row
        set place (math $place - 1)
    end
    if test -f "$row/recipe.json"
        set row $row/recipe.json
    end
    if test -f "$row"
        set row (string replace -rf '^ *"row": "(.*)",*$' '$1' <$row)
    end
    if test $place = 1
        __cvzoo_answer commands
    else if string match -q -- '-*' $word
        __cvzoo_answer "command $command"
        __cvzoo_answer "row $row"
    else if test $place = 2
        __cvzoo_answer "after $command"
    else
        __cvzoo_answer "value $words[-1]"
    end
end
complete -c cvzoo -a '(__cvzoo)'
